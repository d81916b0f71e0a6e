using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.TemplateRegistry.Templates;

/// <summary>How many shops use a template, as its user last counted them.</summary>
/// <param name="Shops">0 or more.</param>
internal sealed record TemplateUsage(int Shops);

/// <summary>Records how many shops use a template.</summary>
internal sealed class RecordUsage(PostgresDatabase database)
{
    /// <summary>Whether there is such a template.</summary>
    public async Task<bool> ExecuteAsync(string name, int shops, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteAsync(new CommandDefinition(
            "update templates set shops = @shops where name = @name", new { name, shops }, cancellationToken: cancellationToken)) == 1;
    }
}
