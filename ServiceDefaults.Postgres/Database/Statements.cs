using Dapper;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Statements of one transaction that go to the server in one round trip.</summary>
/// <param name="Sql">One statement, or several with semicolons between them.</param>
/// <param name="Parameters">An object whose properties are named in <paramref name="Sql"/>.</param>
public sealed record Statements(string Sql, object Parameters)
{
    /// <summary>These, and then <paramref name="next"/>. A parameter that both name must have one value.</summary>
    public Statements Then(Statements next)
    {
        var both = new DynamicParameters(Parameters);
        both.AddDynamicParams(next.Parameters);
        return new($"{Sql};\n{next.Sql}", both);
    }

    /// <summary>Runs them in a transaction that goes on.</summary>
    public Task<int> ExecuteAsync(NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        transaction.Connection!.ExecuteAsync(new CommandDefinition(Sql, Parameters, transaction, cancellationToken: cancellationToken));

    /// <summary>Runs them as a transaction of their own: all of them are committed, or none. No lock outlasts the round trip, even if this process is paused meanwhile.</summary>
    public Task<int> ExecuteAsync(NpgsqlConnection connection, CancellationToken cancellationToken) =>
        connection.ExecuteAsync(new CommandDefinition(Sql, Parameters, cancellationToken: cancellationToken));
}
