using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Releases what dead processes had claimed in the outbox as soon as their death is noticed, instead of when their leases expire.</summary>
internal sealed partial class OutboxTakeover(
    OutboxRoute route, OutboxStore store, Signals signals, ForgetDeadProcesses forgetDead, DatabaseMigrations migrations, ILogger<OutboxTakeover> logger) : BackgroundService
{
    // A killed process is noticed within a second.
    private static readonly TimeSpan CheckInterval = TimeSpan.FromMilliseconds(500);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        var signal = signals[ForgetDeadProcesses.SignalName];
        // null: on start-up, look for processes that died before this one started.
        long? released = null;
        while (true)
        {
            var seen = signal.Version;
            try
            {
                await forgetDead.ExecuteAsync(stoppingToken);
                if (released != signal.Version)
                {
                    var now = signal.Version;
                    foreach (var destination in route.Waiting.Keys)
                    {
                        if (await store.ReleaseOrphanedAsync(destination, stoppingToken) is > 0 and var count)
                        {
                            LogReleased(logger, count, destination);
                            signals[Outbox.StateSignalName(destination)].Set();
                            signals[Outbox.SignalName].Set();
                        }
                    }

                    released = now;
                }
            }
            catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
            {
                LogCheckFailed(logger, DatabaseProblems.IsUnavailable(exception) ? null : exception, exception.Message);
            }

            await signal.WaitAsync(seen, CheckInterval, stoppingToken);
        }
    }

    [LoggerMessage(LogLevel.Information, "Released {Count} keys of messages to {Destination} that dead processes had claimed")]
    private static partial void LogReleased(ILogger logger, int count, string destination);

    [LoggerMessage(LogLevel.Debug, "Could not look for dead processes, trying again: {Reason}")]
    private static partial void LogCheckFailed(ILogger logger, Exception? exception, string reason);
}
