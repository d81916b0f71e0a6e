using System.Data;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// The service's database behind a circuit breaker, with retries of reads in a budget: what <see cref="Destination"/> is to a service. Policy from
/// <c>Services:database</c>, time-outs from <c>Database</c>.
/// </summary>
/// <remarks>
/// A session that is held for long (a listener, a sign of life) takes its connection from the <see cref="NpgsqlDataSource"/> instead: the breaker
/// learns how a use ended only when its connection is closed.
/// </remarks>
public sealed class PostgresDatabase(NpgsqlDataSource dataSource, Destinations destinations, IOptions<DatabaseOptions> options)
{
    /// <summary>The name in configuration, metrics and reports.</summary>
    public const string Name = "database";

    private readonly Destination _destination = destinations[Name];

    /// <summary>Which database it is: <c>host:port/name</c>.</summary>
    public string Address => new NpgsqlConnectionStringBuilder(dataSource.ConnectionString) switch { var address => $"{address.Host}:{address.Port}/{address.Database}" };

    /// <summary>
    /// Opens a connection for one use. A connection that can't be opened, or that breaks before it is closed, counts as a failure; a statement that is
    /// refused, and an empty pool, do not.
    /// </summary>
    /// <exception cref="DatabaseUnavailableException">The circuit breaker is open.</exception>
    /// <exception cref="NpgsqlException">The database can't be reached, or the pool is empty.</exception>
    public async ValueTask<NpgsqlConnection> OpenConnectionAsync(CancellationToken cancellationToken)
    {
        if (!_destination.TryPass(out var pass, out var retryAfter))
        {
            throw new DatabaseUnavailableException(retryAfter);
        }

        NpgsqlConnection connection;
        try
        {
            connection = await dataSource.OpenConnectionAsync(cancellationToken);
        }
        catch (Exception exception)
        {
            if (DatabaseProblems.IsUnavailable(exception) && !DatabaseProblems.IsEmptyPool(exception))
            {
                pass.Failed(exception.Message, neverConnected: true);
            }
            else
            {
                pass.Left();
            }

            throw;
        }

        connection.StateChange += Closed;
        return connection;

        void Closed(object sender, StateChangeEventArgs change)
        {
            connection.StateChange -= Closed;
            if (connection.FullState.HasFlag(ConnectionState.Broken))
            {
                pass.Failed("the connection broke off");
            }
            else
            {
                pass.Succeeded();
            }
        }
    }

    /// <summary>
    /// Runs <paramref name="read"/>, which changes nothing, and again on another connection when the failure may be over by then: at most three times, and only
    /// within the time that a connection may take.
    /// </summary>
    /// <exception cref="DatabaseUnavailableException">The circuit breaker is open.</exception>
    /// <exception cref="NpgsqlException">The database failed each time, or in a way that another attempt does not mend.</exception>
    public Task<T> ReadAsync<T>(Func<NpgsqlConnection, Task<T>> read, CancellationToken cancellationToken) => _destination.RetryAsync(
        async () =>
        {
            await using var connection = await OpenConnectionAsync(cancellationToken);
            return await read(connection);
        },
        DatabaseProblems.IsTransient,
        TimeSpan.FromSeconds(options.Value.ConnectTimeout),
        cancellationToken);
}

/// <summary>The database's circuit breaker is open: nothing was sent to it.</summary>
public sealed class DatabaseUnavailableException(TimeSpan retryAfter) : NpgsqlException("The circuit breaker of the database is open.")
{
    /// <summary>When it will have been asked again.</summary>
    public TimeSpan RetryAfter { get; } = retryAfter;
}
