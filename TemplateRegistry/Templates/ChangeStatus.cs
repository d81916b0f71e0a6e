using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.TemplateRegistry.Templates;

/// <summary>Deprecates and yanks versions.</summary>
internal sealed class ChangeStatus(PostgresDatabase database)
{
    /// <summary>
    /// Moves a version from published to deprecated or yanked. A status never moves back: a version that is already there, or yanked, is left unchanged.
    /// Returns the version, or null if there is none.
    /// </summary>
    public async Task<TemplateVersion?> ExecuteAsync(string name, string version, TemplateStatus status, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        if (!await LatestVersion.LockTemplateAsync(transaction, name, cancellationToken))
            return null;

        await connection.ExecuteAsync(new CommandDefinition(
            """
            update template_versions
            set status = @status, status_changed_at = now()
            where name = @name and version = @version and status not in (@status, 'yanked')
            """,
            new { name, version, status = status == TemplateStatus.Yanked ? "yanked" : "deprecated" }, transaction, cancellationToken: cancellationToken));
        await LatestVersion.UpdateInLockAsync(transaction, name, cancellationToken);
        var stored = await ReadTemplates.FindVersionAsync(connection, name, version, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return stored;
    }
}
