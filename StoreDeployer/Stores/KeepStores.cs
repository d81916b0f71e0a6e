using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Stores;

/// <summary>Keeps every live store on this process's disk, and follows what other processes activate and take down.</summary>
internal sealed partial class KeepStores(
    StoreDirectory directory, DatabaseMigrations migrations, Signals signals, IOptions<StoreOptions> options, TimeProvider time, ILogger<KeepStores> logger) : BackgroundService
{
    // What commits later may have been changed earlier, though never at one address: by so much at most, and hardly ever by more than so little.
    private static readonly TimeSpan Overlap = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan OverlapAtSignal = TimeSpan.FromSeconds(1);

    private DateTimeOffset? _latest;
    private long _looked;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        var signal = signals[StoreDirectory.SignalName];
        while (true)
        {
            var seen = signal.Version;
            try
            {
                await FollowAsync(stoppingToken);
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                LogTrouble(logger, DatabaseProblems.IsUnavailable(e) ? null : e, e.Message);
            }

            await signal.WaitAsync(seen, options.Value.PollInterval, stoppingToken);
        }
    }

    private async Task FollowAsync(CancellationToken cancellationToken)
    {
        var now = time.GetTimestamp();
        var atSignal = _latest is not null && time.GetElapsedTime(_looked, now) < options.Value.PollInterval;
        foreach (var (slug, changedAt) in await directory.ChangedAsync(_latest - (atSignal ? OverlapAtSignal : Overlap), cancellationToken))
        {
            if (await directory.RefreshAsync(slug, changedAt, cancellationToken) is null)
                continue;
            if (_latest is null || changedAt > _latest)
                _latest = changedAt;
        }

        if (!atSignal)
            _looked = now;
    }

    [LoggerMessage(LogLevel.Warning, "Could not follow the stores: {Reason}")]
    private static partial void LogTrouble(ILogger logger, Exception? exception, string reason);
}
