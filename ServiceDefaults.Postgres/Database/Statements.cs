using Dapper;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Statements of one transaction that are sent in one round trip.</summary>
/// <param name="Sql">One or more statements, separated by semicolons.</param>
/// <param name="Parameters">An object with a property for each parameter.</param>
public sealed record Statements(string Sql, object Parameters)
{
    /// <summary>Appends <paramref name="next"/>. Parameters of the same name must have the same value.</summary>
    public Statements Then(Statements next)
    {
        var both = new DynamicParameters(Parameters);
        both.AddDynamicParams(next.Parameters);
        return new($"{Sql};\n{next.Sql}", both);
    }

    /// <summary>Executes them in an open transaction.</summary>
    public Task<int> ExecuteAsync(NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        transaction.Connection!.ExecuteAsync(new CommandDefinition(Sql, Parameters, transaction, cancellationToken: cancellationToken));

    /// <summary>Executes them as a transaction of their own. No lock outlasts the round trip, even if this process is paused.</summary>
    public Task<int> ExecuteAsync(NpgsqlConnection connection, CancellationToken cancellationToken) =>
        connection.ExecuteAsync(new CommandDefinition(Sql, Parameters, cancellationToken: cancellationToken));
}
