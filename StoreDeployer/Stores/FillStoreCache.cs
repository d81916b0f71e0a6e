using Dapper;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Stores;

/// <summary>
/// Caches stores on disk for when the database is unavailable: those in the <see cref="CacheQueue"/> immediately, the others at a bounded rate until the cache is full, the most
/// recently requested ones first.
/// </summary>
internal sealed partial class FillStoreCache(
    StoreDirectory directory, DigestCache disk, CacheQueue queue, PostgresDatabase database, DatabaseMigrations migrations, IOptions<StoreOptions> options, TimeProvider time, ILogger<FillStoreCache> logger)
    : BackgroundService
{
    private const int Page = 100;

    // Checking whether a store is cached is cheap, but also done for at most Page / PagePause = 1,000 stores a second.
    private static readonly TimeSpan PagePause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Retry = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Interval = TimeSpan.FromHours(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        await Task.WhenAll(CacheQueuedAsync(stoppingToken), options.Value.FillRate > 0 ? FillAsync(stoppingToken) : Task.CompletedTask);
    }

    private async Task CacheQueuedAsync(CancellationToken cancellationToken)
    {
        await foreach (var store in queue.ReadAllAsync(cancellationToken))
        {
            try
            {
                await directory.CacheAsync(store, cancellationToken);
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                LogNotCached(logger, DatabaseProblems.IsUnavailable(e) ? null : e, store.Slug, e.Message);
                if (DatabaseProblems.IsUnavailable(e))
                {
                    queue.Add(store);
                    await Task.Delay(Retry, time, cancellationToken);
                }
            }
        }
    }

    private async Task FillAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var pause = Interval;
            try
            {
                _ = await FillAsync(ReadRequestedAsync, cancellationToken) && await FillAsync(ReadLiveAsync, cancellationToken);
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                LogFailure(logger, DatabaseProblems.IsUnavailable(e) ? null : e, e.Message);
                pause = Retry;
            }

            await Task.Delay(pause, time, cancellationToken);
        }
    }

    /// <summary>False if the cache is full.</summary>
    private async Task<bool> FillAsync(Func<Row?, CancellationToken, Task<IReadOnlyList<Row>>> read, CancellationToken cancellationToken)
    {
        Row? last = null;
        while (await read(last, cancellationToken) is { Count: > 0 } page)
        {
            foreach (var row in page)
            {
                var store = new StoreChange(row.Slug, new DateTimeOffset(row.ChangedAt));
                if (directory.IsOnDisk(store))
                    continue;
                if (await directory.CacheAsync(store, cancellationToken, new DateTimeOffset(row.UsedAt), size => disk.HasRoomForAsync(size, cancellationToken)) is not { } size)
                    return false;
                await Task.Delay(TimeSpan.FromSeconds(Math.Max(1.0 / options.Value.FillRate, (double)size / options.Value.FillBytesPerSecond)), time, cancellationToken);
            }

            last = page[^1];
            await Task.Delay(PagePause, time, cancellationToken);
        }

        return true;
    }

    private Task<IReadOnlyList<Row>> ReadRequestedAsync(Row? after, CancellationToken cancellationToken) => ReadAsync(
        """
        select r.slug as Slug, s.changed_at as ChangedAt, r.requested_at as UsedAt
        from store_requests r join stores s on s.slug = r.slug and s.active_release is not null
        where (r.requested_at, r.slug) < (@usedAt, @slug)
        order by r.requested_at desc, r.slug desc limit @Page
        """, after, cancellationToken);

    private Task<IReadOnlyList<Row>> ReadLiveAsync(Row? after, CancellationToken cancellationToken) => ReadAsync(
        """
        select slug as Slug, changed_at as ChangedAt, changed_at as UsedAt from stores
        where active_release is not null and (changed_at, slug) < (@usedAt, @slug)
        order by changed_at desc, slug desc limit @Page
        """, after, cancellationToken);

    private async Task<IReadOnlyList<Row>> ReadAsync(string sql, Row? after, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<Row>(new CommandDefinition(
            sql, new { usedAt = after?.UsedAt ?? DateTime.SpecifyKind(DateTime.MaxValue, DateTimeKind.Utc), slug = after?.Slug ?? "", Page }, cancellationToken: cancellationToken));
        return rows.AsList();
    }

    [LoggerMessage(LogLevel.Warning, "Could not cache store {Slug} on disk: {Reason}")]
    private static partial void LogNotCached(ILogger logger, Exception? exception, string slug, string reason);

    [LoggerMessage(LogLevel.Information, "Could not fill the store cache, trying again later: {Reason}")]
    private static partial void LogFailure(ILogger logger, Exception? exception, string reason);

    // Dapper gives timestamptz as a UTC DateTime.
    private sealed record Row(string Slug, DateTime ChangedAt, DateTime UsedAt);
}
