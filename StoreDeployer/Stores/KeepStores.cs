using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Stores;

/// <summary>Keeps every live store on this process's disk, and follows what other processes activate and take down.</summary>
internal sealed partial class KeepStores(
    StoreDirectory directory, DatabaseMigrations migrations, Signals signals, IOptions<StoreOptions> options, ILogger<KeepStores> logger) : BackgroundService
{
    // What commits later may have been changed earlier, though never at one address.
    private static readonly TimeSpan Overlap = TimeSpan.FromSeconds(30);

    private readonly Dictionary<string, DateTimeOffset> _seen = [];
    private DateTimeOffset? _latest;

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
        foreach (var (slug, changedAt) in await directory.ChangedAsync(_latest - Overlap, cancellationToken))
        {
            if (_seen.TryGetValue(slug, out var known) && known == changedAt)
                continue;
            if (await directory.RefreshAsync(slug, cancellationToken) is null)
                continue;
            _seen[slug] = changedAt;
            if (_latest is null || changedAt > _latest)
                _latest = changedAt;
        }
    }

    [LoggerMessage(LogLevel.Warning, "Could not follow the stores: {Reason}")]
    private static partial void LogTrouble(ILogger logger, Exception? exception, string reason);
}
