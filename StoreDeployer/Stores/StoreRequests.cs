using System.Threading.Channels;
using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Stores;

/// <summary>Records when stores were last requested, to within an hour and in batches. The disk caches of all processes are filled in this order.</summary>
internal sealed partial class StoreRequests(
    StoreEntries entries, PostgresDatabase database, DatabaseMigrations migrations, TimeProvider time, ILogger<StoreRequests> logger) : BackgroundService
{
    private const int Batch = 1_000;

    private static readonly TimeSpan Coarseness = TimeSpan.FromHours(1);
    // A store that nobody requested for so long is treated like one that was never requested.
    private static readonly TimeSpan Retention = TimeSpan.FromDays(90);
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private readonly Channel<Store> _requested = Channel.CreateBounded<Store>(new BoundedChannelOptions(Batch) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Notes a request for the store.</summary>
    public void Note(Store store)
    {
        if (store.Release is not null && store.IsFirstRequestIn(Coarseness.Ticks, time.GetUtcNow().Ticks))
            _requested.Writer.TryWrite(store);
    }

    /// <summary>Writes the noted requests to the database.</summary>
    public async Task RecordAsync(CancellationToken cancellationToken)
    {
        List<Store> stores = [];
        while (stores.Count < Batch && _requested.Reader.TryRead(out var store))
            stores.Add(store);
        if (stores.Count == 0)
            return;
        foreach (var store in stores)
            entries.Touch(store);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        // In the order of the key, so that two processes can't deadlock. Another process may have recorded the store within the hour.
        await connection.ExecuteAsync(new CommandDefinition(
            """
            insert into store_requests as r (slug, requested_at) select distinct slug, now() from unnest(@slugs) as slug order by slug
            on conflict (slug) do update set requested_at = excluded.requested_at where r.requested_at < excluded.requested_at - @Coarseness;
            delete from store_requests where slug in (select slug from store_requests where requested_at < now() - @Retention order by requested_at limit @Batch for update skip locked)
            """, new { slugs = stores.Select(store => store.Slug).ToArray(), Coarseness, Retention, Batch }, cancellationToken: cancellationToken));
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await RecordAsync(stoppingToken);
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                // Best effort: the order in which caches are filled is no reason to keep these requests in memory.
                LogNotRecorded(logger, DatabaseProblems.IsUnavailable(e) ? null : e, e.Message);
            }
        }
    }

    [LoggerMessage(LogLevel.Debug, "Could not record which stores were requested: {Reason}")]
    private static partial void LogNotRecorded(ILogger logger, Exception? exception, string reason);
}
