using System.Text.RegularExpressions;
using Microsoft.Extensions.Caching.Memory;
using Npgsql;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Stores;

/// <summary>
/// Finds the store at a slug. Looks in memory, then in the database, and on disk if the database is unavailable. A change made by this process is visible
/// immediately, one made by another process after its signal or at the next poll. Only stores that are requested are kept in memory, the most recently requested ones.
/// </summary>
internal sealed partial class StoreDirectory(ReadStore readStore, StoreFiles files, StoreEntries entries, CacheQueue queue, Fallbacks fallbacks, ILogger<StoreDirectory> logger) : IDisposable
{
    public const string SignalName = "stores";

    // Upper limit of the lists of files. StoreFiles caches the contents.
    private const long MaxMemory = 32 * 1024 * 1024;

    public static readonly Fallback Fallback = new(PostgresDatabase.Name, "live stores", FallbackKind.FailOpen);

    private readonly MemoryCache _stores = new(new MemoryCacheOptions { SizeLimit = MaxMemory });
    private readonly SemaphoreSlim[] _loading = [.. Enumerable.Range(0, 64).Select(_ => new SemaphoreSlim(1))];
    private volatile bool _isFollowing;
    private volatile bool _databaseAnswers;

    /// <summary>The store at a slug, live or taken down. Null if the slug is invalid or its store has never been live.</summary>
    /// <exception cref="NpgsqlException">The database is unavailable, and the store is neither in memory nor on disk.</exception>
    public async ValueTask<Store?> FindAsync(string slug, CancellationToken cancellationToken)
    {
        if (_stores.TryGetValue(slug, out Store? store) && !MustBeConfirmed(store!))
            return store;
        return SlugPattern().IsMatch(slug) ? await LoadAsync(slug, refresh: false, changedAt: null, cancellationToken) : null;
    }

    /// <summary>Whether the store is in memory, because it was requested or deployed by this process.</summary>
    public bool Holds(string slug) => _stores.TryGetValue(slug, out _);

    /// <summary>Removes the store from memory, so that the next request reads it from the database.</summary>
    public void Forget(string slug) => _stores.Remove(slug);

    /// <summary>
    /// All changes committed so far are known, so what is read from now on stays current as long as <see cref="ApplyAsync"/> is called for each change. What was read before, or from disk,
    /// must be confirmed.
    /// </summary>
    public void ChangesAreKnown() => _databaseAnswers = _isFollowing = true;

    /// <summary>The database doesn't answer, so stores that are not confirmed are served as they are.</summary>
    public void ChangesAreUnknown() => _databaseAnswers = false;

    /// <summary>
    /// Reads the store from the database, unless the copy in memory is at least as new as <paramref name="changedAt"/>; null always reads. Returns null if there is no
    /// store, or if the database is unavailable: then the copies in memory and on disk are kept.
    /// </summary>
    public async Task<Store?> RefreshAsync(string slug, DateTimeOffset? changedAt, CancellationToken cancellationToken)
    {
        try
        {
            return await LoadAsync(slug, refresh: true, changedAt, cancellationToken);
        }
        catch (Exception e) when (DatabaseProblems.IsUnavailable(e))
        {
            LogNotRefreshed(logger, slug, e.Message);
            return null;
        }
    }

    /// <summary>Applies a change made by another process: to the copy in memory if there is one, otherwise later to that on disk.</summary>
    /// <exception cref="NpgsqlException">The database is unavailable. The copies are kept.</exception>
    public async Task ApplyAsync(StoreChange change, CancellationToken cancellationToken)
    {
        // Waits for a load in progress, which may have read the store before the change.
        var loading = LoadingOf(change.Slug);
        await loading.WaitAsync(cancellationToken);
        try
        {
            if (Holds(change.Slug))
            {
                await LoadInLockAsync(change.Slug, refresh: true, change.ChangedAt, cancellationToken);
                return;
            }
        }
        finally
        {
            loading.Release();
        }

        queue.Add(change);
    }

    /// <summary>Whether the store is on disk as of its last known change. Doesn't check its files, which may have been evicted.</summary>
    public bool IsOnDisk(StoreChange change) => entries.ChangedAt(change.Slug) >= change.ChangedAt;

    /// <summary>Caches what is missing of a store on disk. Doesn't keep it in memory.</summary>
    /// <param name="change">The store and its last known change.</param>
    /// <param name="cancellationToken">Cancels the work.</param>
    /// <param name="usedAt">When the store was last used, which decides how soon it is evicted; now if null.</param>
    /// <param name="fits">Decides whether files of this size are cached.</param>
    /// <returns>The size of the files that were read, or null if they don't fit.</returns>
    /// <exception cref="NpgsqlException">The database is unavailable.</exception>
    public async Task<long?> CacheAsync(StoreChange change, CancellationToken cancellationToken, DateTimeOffset? usedAt = null, Func<long, Task<bool>>? fits = null)
    {
        var store = _stores.TryGetValue(change.Slug, out Store? known) && known!.IsConfirmed && known.ChangedAt >= change.ChangedAt
            ? known
            : await readStore.ExecuteAsync(change.Slug, cacheLists: false, cancellationToken);
        if (store is null)
            return 0;
        var missing = files.NotOnDisk(store.AllFiles);
        var size = missing.Sum(file => (long)file.Size);
        if (fits is not null && !await fits(size))
            return null;
        await files.CacheOnDiskAsync(missing, cancellationToken, usedAt);
        var loading = LoadingOf(change.Slug);
        await loading.WaitAsync(cancellationToken);
        try
        {
            // It may have changed again in the meantime.
            if (entries.ChangedAt(change.Slug) is not { } cached || cached < store.ChangedAt)
                await entries.WriteAsync(store, cancellationToken, usedAt);
        }
        finally
        {
            loading.Release();
        }

        return size;
    }

    public void Dispose() => _stores.Dispose();

    private bool MustBeConfirmed(Store store) => !store.IsConfirmed && _databaseAnswers;

    // One load per slug at a time, so that the result of an older read can't replace that of a newer one. Slugs share 64 semaphores by hash.
    private SemaphoreSlim LoadingOf(string slug) => _loading[(uint)string.GetHashCode(slug, StringComparison.Ordinal) % _loading.Length];

    private async Task<Store?> LoadAsync(string slug, bool refresh, DateTimeOffset? changedAt, CancellationToken cancellationToken)
    {
        var loading = LoadingOf(slug);
        await loading.WaitAsync(cancellationToken);
        try
        {
            return await LoadInLockAsync(slug, refresh, changedAt, cancellationToken);
        }
        finally
        {
            loading.Release();
        }
    }

    private async Task<Store?> LoadInLockAsync(string slug, bool refresh, DateTimeOffset? changedAt, CancellationToken cancellationToken)
    {
        if (_stores.TryGetValue(slug, out Store? known) && (refresh ? known!.ChangedAt >= changedAt && known.IsConfirmed : !MustBeConfirmed(known!)))
            return known;
        // Before the read: a change that is committed after it is found by a later poll.
        var isFollowing = _isFollowing;
        Store? store;
        try
        {
            store = await readStore.ExecuteAsync(slug, cacheLists: true, cancellationToken);
            if (store is not null)
            {
                store = store with { IsConfirmed = isFollowing };
                await SwitchOnDiskAsync(store, mayWait: refresh || known is not null, cancellationToken);
            }
        }
        catch (Exception e) when (!refresh && DatabaseProblems.IsUnavailable(e) && (known ?? entries.Read(slug)) is { } last)
        {
            ChangesAreUnknown();
            fallbacks.Use(Fallback);
            LogServedFromDisk(logger, slug, e.Message);
            store = last;
        }

        // Unknown slugs are not cached: anyone can request arbitrary names and would fill the memory.
        if (store is null)
            _stores.Remove(slug);
        else
            _stores.Set(slug, store.NotedLike(known), new MemoryCacheEntryOptions { Size = store.MemorySize });
        return store;
    }

    // If another state of the store is cached, it is replaced only after the files of the new one are cached too: if the database becomes unavailable in between, the old release is
    // still served completely. A request for a store of which nothing is cached doesn't wait for the cache.
    private async Task SwitchOnDiskAsync(Store store, bool mayWait, CancellationToken cancellationToken)
    {
        var cached = entries.ChangedAt(store.Slug);
        if (cached == store.ChangedAt || cached is null && !mayWait)
        {
            queue.Add(new(store.Slug, store.ChangedAt));
            return;
        }

        await files.CacheOnDiskAsync(files.NotOnDisk(store.AllFiles), cancellationToken);
        await entries.WriteAsync(store, cancellationToken);
    }

    [GeneratedRegex(@"^[a-z0-9-]{1,63}\z", RegexOptions.NonBacktracking)]
    private static partial Regex SlugPattern();

    [LoggerMessage(LogLevel.Warning, "The database is unavailable; serving the last known release of store {Slug}: {Reason}")]
    private static partial void LogServedFromDisk(ILogger logger, string slug, string reason);

    [LoggerMessage(LogLevel.Information, "Could not refresh store {Slug}: {Reason}")]
    private static partial void LogNotRefreshed(ILogger logger, string slug, string reason);
}
