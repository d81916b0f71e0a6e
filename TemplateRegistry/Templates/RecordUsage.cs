using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.TemplateRegistry.Templates;

/// <summary>How many shops use a template, as reported by Backend.</summary>
/// <param name="Shops">0 or more.</param>
internal sealed record TemplateUsage(int Shops);

/// <summary>Records how many shops use a template.</summary>
internal sealed class RecordUsage(PostgresDatabase database)
{
    /// <returns>False if there is no such template.</returns>
    public async Task<bool> ExecuteAsync(string name, int shops, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteAsync(new CommandDefinition(
            "update templates set shops = @shops where name = @name", new { name, shops }, cancellationToken: cancellationToken)) == 1;
    }
}
