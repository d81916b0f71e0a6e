namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// Reads the values of gauges from the database every five seconds, so that all replicas report the same. While the database is unavailable the gauges report nothing rather than
/// stale values.
/// </summary>
/// <typeparam name="T">The values.</typeparam>
public abstract partial class PolledMetrics<T>(DatabaseMigrations migrations, TimeProvider time, ILogger logger) : BackgroundService where T : class
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private volatile T? _latest;

    /// <summary>The values last read, or null when that failed.</summary>
    protected T? Latest => _latest;

    /// <summary>Reads the values.</summary>
    protected abstract Task<T> ReadAsync(CancellationToken cancellationToken);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        while (true)
        {
            try
            {
                _latest = await ReadAsync(stoppingToken);
            }
            catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
            {
                _latest = null;
                LogNotRead(logger, DatabaseProblems.IsUnavailable(exception) ? null : exception, exception.Message);
            }

            await Task.Delay(Interval, time, stoppingToken);
        }
    }

    [LoggerMessage(LogLevel.Debug, "Could not read the values of metrics: {Reason}")]
    private static partial void LogNotRead(ILogger logger, Exception? exception, string reason);
}
