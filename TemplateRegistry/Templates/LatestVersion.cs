using Dapper;
using Npgsql;

namespace Platform.TemplateRegistry.Templates;

/// <summary>Keeps a template's pointers to its latest and listed version true.</summary>
internal static class LatestVersion
{
    /// <summary>Waits for whoever else changes this template's versions. False when there is no such template.</summary>
    public static async Task<bool> LockTemplateAsync(NpgsqlTransaction transaction, string name, CancellationToken cancellationToken) =>
        await transaction.Connection!.ExecuteScalarAsync<string>(new CommandDefinition(
            "select name from templates where name = @name for update", new { name }, transaction, cancellationToken: cancellationToken)) is not null;

    /// <summary>Finds both anew, by semantic precedence, which SQL can't tell. The caller holds the template's lock.</summary>
    public static async Task UpdateInLockAsync(NpgsqlTransaction transaction, string name, CancellationToken cancellationToken)
    {
        var versions = (await transaction.Connection!.QueryAsync<(string Version, string Status)>(new CommandDefinition(
            "select version, status from template_versions where name = @name", new { name }, transaction, cancellationToken: cancellationToken)))
            .Select(v => (v.Version, Enum.Parse<TemplateStatus>(v.Status, ignoreCase: true))).ToList();
        await transaction.Connection!.ExecuteAsync(new CommandDefinition(
            "update templates set latest_version = @latest, listed_version = @listed where name = @name",
            new { name, latest = VersionPrecedence.Latest(versions), listed = VersionPrecedence.Listed(versions) },
            transaction, cancellationToken: cancellationToken));
    }
}
