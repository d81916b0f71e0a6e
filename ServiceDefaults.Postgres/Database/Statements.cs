using Dapper;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Statements of one transaction that go to the server in one round trip.</summary>
/// <param name="Sql">One statement, or several with semicolons between them; may be empty.</param>
/// <param name="Parameters">An object whose properties are named in <paramref name="Sql"/>.</param>
public sealed record Statements(string Sql, object Parameters)
{
    /// <summary>Nothing to do.</summary>
    public static readonly Statements None = new("", new { });

    /// <summary>These, and then <paramref name="next"/>. A parameter that both name must have one value.</summary>
    public Statements Then(Statements next)
    {
        var both = new DynamicParameters(Parameters);
        both.AddDynamicParams(next.Parameters);
        return new($"{Sql};\n{next.Sql}", both);
    }

    /// <summary>As Dapper takes it.</summary>
    public CommandDefinition In(NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        new(Sql, Parameters, transaction, cancellationToken: cancellationToken);

    /// <summary>Runs them.</summary>
    public Task ExecuteAsync(NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        transaction.Connection!.ExecuteAsync(In(transaction, cancellationToken));
}
