using System.Data;
using Dapper;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// The service's database, guarded by the circuit breaker and retry budget of a <see cref="Destination"/>. Policy from <c>Services:database</c>, time-outs from <c>Database</c>.
/// </summary>
/// <remarks>
/// Long-lived sessions and those with state (LISTEN, session locks) take their connection from the keyed <see cref="NpgsqlDataSource"/> <see cref="Sessions"/> instead: the
/// breaker only learns a result when the connection is closed, and pooled connections are not reset.
/// </remarks>
public sealed class PostgresDatabase(
    NpgsqlDataSource dataSource, [FromKeyedServices(PostgresDatabase.Probe)] NpgsqlDataSource probe, Destinations destinations, IOptions<DatabaseOptions> options, TimeProvider time)
{
    /// <summary>The name in configuration, metrics and reports.</summary>
    public const string Name = "database";

    /// <summary>The key of the data source without a pool.</summary>
    public const string Sessions = "database-sessions";

    internal const string Probe = "database-probe";

    private readonly Destination _destination = destinations[Name];
    private readonly Lock _gate = new();
    private Task<string?>? _probing;

    /// <summary>The database's address: <c>host:port/name</c>.</summary>
    public string Address => new NpgsqlConnectionStringBuilder(dataSource.ConnectionString) switch { var address => $"{address.Host}:{address.Port}/{address.Database}" };

    /// <summary>
    /// Opens a connection for one use. For the breaker, a connection that can't be opened or that is lost before it is closed is a failure; a rejected statement and an exhausted
    /// pool are not.
    /// </summary>
    /// <exception cref="DatabaseUnavailableException">The circuit breaker is open.</exception>
    /// <exception cref="NpgsqlException">The database is unavailable, or the pool is exhausted.</exception>
    public async ValueTask<NpgsqlConnection> OpenConnectionAsync(CancellationToken cancellationToken)
    {
        if (!_destination.TryPass(out var pass, out var retryAfter))
        {
            throw new DatabaseUnavailableException(retryAfter);
        }

        NpgsqlConnection connection;
        try
        {
            using var opening = new SeparateCancellation(cancellationToken);
            connection = await dataSource.OpenConnectionAsync(opening.Token);
        }
        catch (Exception exception)
        {
            if (DatabaseProblems.IsUnavailable(exception) && !DatabaseProblems.IsEmptyPool(exception))
            {
                pass.Failed(exception.Message, neverConnected: true);
            }
            else
            {
                pass.Inconclusive();
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
                // Idle connections have most likely been lost too. Discard them all instead of failing one by one.
                dataSource.Clear();
                pass.Failed("the connection broke off");
            }
            else
            {
                pass.Succeeded();
            }
        }
    }

    /// <summary>
    /// Runs <paramref name="read"/>, which must not change anything, and retries transient failures on another connection: at most three attempts, within
    /// <see cref="DatabaseOptions.ConnectTimeout"/>. When a read takes longer than half of that, the database is probed. If the probe fails, the server is cut off: the breaker opens
    /// and the read fails at once. If it succeeds, the statement is merely slow and may continue.
    /// </summary>
    /// <exception cref="DatabaseUnavailableException">The circuit breaker is open.</exception>
    /// <exception cref="NpgsqlException">The last attempt failed, or the failure is not transient.</exception>
    public Task<T> ReadAsync<T>(Func<NpgsqlConnection, Task<T>> read, CancellationToken cancellationToken) => _destination.RetryAsync(
        async () =>
        {
            var reading = RunAsync(read, cancellationToken);
            var probeAfter = TimeSpan.FromSeconds(options.Value.ConnectTimeout) / 2;
            if (await Task.WhenAny(reading, Task.Delay(probeAfter, time, cancellationToken)) != reading && !cancellationToken.IsCancellationRequested
                && await ProbeAsync() is { } error && !reading.IsCompleted)
            {
                // Nobody waits for it any more; it ends by its own time-out.
                _ = reading.ContinueWith(static given => given.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
                throw new NpgsqlException($"The database shows no sign of life: {error}", new TimeoutException());
            }

            return await reading;
        },
        DatabaseProblems.IsTransient,
        TimeSpan.FromSeconds(options.Value.ConnectTimeout),
        cancellationToken);

    /// <summary>Executes a statement as a transaction of its own. Returns the number of rows that it changed.</summary>
    internal async Task<int> ExecuteAsync(string sql, object? parameters, CancellationToken cancellationToken)
    {
        await using var connection = await OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteAsync(new CommandDefinition(sql, parameters, cancellationToken: cancellationToken));
    }

    /// <summary>Probes the database, bypassing breaker and pool. Returns a human-readable reason when it does not answer, else null. Takes about a second at most.</summary>
    public async Task<string?> FindErrorAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var asking = new SeparateCancellation(cancellationToken);
            await using var command = probe.CreateCommand("select");
            await command.ExecuteNonQueryAsync(asking.Token);
            return null;
        }
        // Out of connections, but it answers.
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.TooManyConnections)
        {
            return null;
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            return exception.Message;
        }
    }

    private async Task<T> RunAsync<T>(Func<NpgsqlConnection, Task<T>> read, CancellationToken cancellationToken)
    {
        await using var connection = await OpenConnectionAsync(cancellationToken);
        return await read(connection);
    }

    /// <summary>Probes once for all concurrent callers.</summary>
    private Task<string?> ProbeAsync()
    {
        lock (_gate)
        {
            return _probing is { IsCompleted: false } ? _probing : _probing = AskAsync();
        }

        async Task<string?> AskAsync()
        {
            var error = await FindErrorAsync(CancellationToken.None);
            if (error is not null)
            {
                _destination.Breaker.Trip($"no sign of life: {error}");
            }

            return error;
        }
    }
}

/// <summary>The database's circuit breaker is open. Nothing was sent.</summary>
public sealed class DatabaseUnavailableException(TimeSpan retryAfter) : NpgsqlException("The circuit breaker of the database is open.")
{
    /// <summary>When the database will have been probed again.</summary>
    public TimeSpan RetryAfter { get; } = retryAfter;
}
