namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// Reads figures for gauges from the database every five seconds. All replicas of a service see the same. While the database is away they say nothing,
/// which is more honest than what was true before.
/// </summary>
/// <typeparam name="T">The figures.</typeparam>
public abstract partial class PolledMetrics<T>(DatabaseMigrations migrations, TimeProvider time, ILogger logger) : BackgroundService where T : class
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private volatile T? _latest;

    /// <summary>What was read last, or null when that failed.</summary>
    protected T? Latest => _latest;

    /// <summary>Reads the figures.</summary>
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

    [LoggerMessage(LogLevel.Debug, "The figures for the metrics were not read: {Reason}")]
    private static partial void LogNotRead(ILogger logger, Exception? exception, string reason);
}
