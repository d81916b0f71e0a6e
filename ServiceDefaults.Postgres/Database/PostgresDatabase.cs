using System.Data;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// The service's database behind a circuit breaker, with retries of reads in a budget: what <see cref="Destination"/> is to a service. Policy from
/// <c>Services:database</c>, time-outs from <c>Database</c>.
/// </summary>
/// <remarks>
/// A session that is held for long or has a state of its own (a listener, a sign of life) takes its connection from the keyed <see cref="NpgsqlDataSource"/>
/// <see cref="Sessions"/> instead: the breaker learns how a use ended only when its connection is closed, and pooled connections are not reset.
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
    private Task<string?>? _inquiry;

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
                // the idle ones have most likely lost their server too, and nobody is to find that out one by one
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
    /// Runs <paramref name="read"/>, which changes nothing, and again on another connection when the failure may be over by then: at most three times, and only
    /// within the time that a connection may take. A read that takes longer than half of that time makes us ask the database for a sign of life; when there is
    /// none the read is given up at once, and the breaker opens: a slow statement may take its time, a server that is cut off must not.
    /// </summary>
    /// <exception cref="DatabaseUnavailableException">The circuit breaker is open.</exception>
    /// <exception cref="NpgsqlException">The database failed each time, or in a way that another attempt does not mend.</exception>
    public Task<T> ReadAsync<T>(Func<NpgsqlConnection, Task<T>> read, CancellationToken cancellationToken) => _destination.RetryAsync(
        async () =>
        {
            var reading = RunAsync(read, cancellationToken);
            var patience = TimeSpan.FromSeconds(options.Value.ConnectTimeout) / 2;
            if (await Task.WhenAny(reading, Task.Delay(patience, time, cancellationToken)) != reading && !cancellationToken.IsCancellationRequested
                && await InquireAsync() is { } error && !reading.IsCompleted)
            {
                // it ends by its own time-out, which nobody waits for
                _ = reading.ContinueWith(static given => given.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
                throw new NpgsqlException($"The database shows no sign of life: {error}", new TimeoutException());
            }

            return await reading;
        },
        DatabaseProblems.IsTransient,
        TimeSpan.FromSeconds(options.Value.ConnectTimeout),
        cancellationToken);

    /// <summary>Asks the database past breaker and pool: why it does not answer, for people; null when it does. Takes about a second at most.</summary>
    public async Task<string?> FindErrorAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var asking = new SeparateCancellation(cancellationToken);
            await using var command = probe.CreateCommand("select");
            await command.ExecuteNonQueryAsync(asking.Token);
            return null;
        }
        // it lives, and has no place for one more
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

    /// <summary>One question for all who wait.</summary>
    private Task<string?> InquireAsync()
    {
        lock (_gate)
        {
            return _inquiry is { IsCompleted: false } ? _inquiry : _inquiry = AskAsync();
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

/// <summary>The database's circuit breaker is open: nothing was sent to it.</summary>
public sealed class DatabaseUnavailableException(TimeSpan retryAfter) : NpgsqlException("The circuit breaker of the database is open.")
{
    /// <summary>When it will have been asked again.</summary>
    public TimeSpan RetryAfter { get; } = retryAfter;
}
