using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Stores;

/// <summary>Polls the database for changes that other processes made to stores, and keeps this process's copies of all live stores up to date, in memory and on disk.</summary>
internal sealed partial class PollStoreChanges(
    StoreDirectory directory, DatabaseMigrations migrations, Signals signals, IOptions<StoreOptions> options, TimeProvider time, ILogger<PollStoreChanges> logger) : BackgroundService
{
    // Transactions of different shops may commit out of order of changed_at, so each poll re-reads the last 30 s. At a signal 1 s is enough: the next poll catches the rest.
    private static readonly TimeSpan Overlap = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan OverlapAtSignal = TimeSpan.FromSeconds(1);

    private DateTimeOffset? _latest;
    private long _lastPoll;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        var signal = signals[StoreDirectory.SignalName];
        while (true)
        {
            var seen = signal.Version;
            try
            {
                await RefreshChangedAsync(stoppingToken);
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                LogFailure(logger, DatabaseProblems.IsUnavailable(e) ? null : e, e.Message);
            }

            await signal.WaitAsync(seen, options.Value.PollInterval, stoppingToken);
        }
    }

    private async Task RefreshChangedAsync(CancellationToken cancellationToken)
    {
        var now = time.GetTimestamp();
        var atSignal = _latest is not null && time.GetElapsedTime(_lastPoll, now) < options.Value.PollInterval;
        foreach (var (slug, changedAt) in await directory.ChangedAsync(_latest - (atSignal ? OverlapAtSignal : Overlap), cancellationToken))
        {
            if (await directory.RefreshAsync(slug, changedAt, cancellationToken) is null)
                continue;
            if (_latest is null || changedAt > _latest)
                _latest = changedAt;
        }

        if (!atSignal)
            _lastPoll = now;
    }

    [LoggerMessage(LogLevel.Warning, "Could not read store changes: {Reason}")]
    private static partial void LogFailure(ILogger logger, Exception? exception, string reason);
}
