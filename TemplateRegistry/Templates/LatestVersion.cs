using Dapper;
using Npgsql;

namespace Platform.TemplateRegistry.Templates;

/// <summary>Updates a template's columns <c>latest_version</c> and <c>listed_version</c>.</summary>
internal static class LatestVersion
{
    /// <summary>Takes the template's lock, which serialises changes to its versions. False if there is no such template.</summary>
    public static async Task<bool> LockTemplateAsync(NpgsqlTransaction transaction, string name, CancellationToken cancellationToken) =>
        await transaction.Connection!.ExecuteScalarAsync<string>(new CommandDefinition(
            "select name from templates where name = @name for update", new { name }, transaction, cancellationToken: cancellationToken)) is not null;

    /// <summary>Computes both versions by semantic precedence, which SQL can't. The caller must hold the template's lock.</summary>
    public static async Task UpdateInLockAsync(NpgsqlTransaction transaction, string name, CancellationToken cancellationToken)
    {
        var versions = (await transaction.Connection!.QueryAsync<(string Version, TemplateStatus Status)>(new CommandDefinition(
            "select version, status from template_versions where name = @name", new { name }, transaction, cancellationToken: cancellationToken))).AsList();
        await transaction.Connection!.ExecuteAsync(new CommandDefinition(
            "update templates set latest_version = @latest, listed_version = @listed where name = @name",
            new { name, latest = VersionPrecedence.Latest(versions), listed = VersionPrecedence.Listed(versions) },
            transaction, cancellationToken: cancellationToken));
    }
}
