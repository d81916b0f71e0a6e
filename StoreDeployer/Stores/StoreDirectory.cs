using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Dapper;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>What is served at a slug: the active release, and the assets of the other retained releases. A page loaded before an activation still requests the assets of its own release.</summary>
/// <param name="Slug">The last part of the store's address.</param>
/// <param name="Release">The active release; null when there is none.</param>
/// <param name="TakenDown">Whether the store was taken down because its shop was deleted.</param>
/// <param name="ChangedAt">When a release was last activated or the store taken down, by the database's clock.</param>
/// <param name="Files">The files of the active release, by path; for a store read from disk, also the former assets.</param>
/// <param name="FormerAssets">Assets of earlier releases that the active one doesn't have, by path.</param>
internal sealed record Store(
    string Slug, Guid? Release, bool TakenDown, DateTimeOffset ChangedAt, FrozenDictionary<string, StoredFile> Files, FrozenDictionary<string, StoredFile> FormerAssets)
{
    /// <summary>The file at a path, or null.</summary>
    public StoredFile? Find(string path) => Files.GetValueOrDefault(path) ?? FormerAssets.GetValueOrDefault(path);
}

/// <summary>
/// Finds the store at a slug. Looks in memory, then in the database, and on disk if the database is unavailable. A change made by this process is visible
/// immediately, one made by another process after its signal or at the next poll.
/// </summary>
internal sealed partial class StoreDirectory : IDisposable
{
    public const string SignalName = "stores";

    // Upper limit of file entries (path, digest, type) in memory, about 100 MB in total. StoreFiles caches the contents.
    private const int MaxFiles = 500_000;

    public static readonly Fallback Fallback = new(PostgresDatabase.Name, "live stores", FallbackKind.FailOpen);

    private readonly PostgresDatabase _database;
    private readonly ReleaseContents _contents;
    private readonly StoreFiles _files;
    private readonly Fallbacks _fallbacks;
    private readonly ILogger<StoreDirectory> _logger;
    private readonly int _retainedReleases;
    private readonly string _folder;
    private readonly MemoryCache _stores = new(new MemoryCacheOptions { SizeLimit = MaxFiles });
    private readonly SemaphoreSlim[] _loading = [.. Enumerable.Range(0, 64).Select(_ => new SemaphoreSlim(1))];

    public StoreDirectory(
        PostgresDatabase database, DigestCache disk, ReleaseContents contents, StoreFiles files, Fallbacks fallbacks, IOptions<StoreOptions> options, ILogger<StoreDirectory> logger)
    {
        _retainedReleases = options.Value.RetainedReleases;
        (_database, _contents, _files, _fallbacks, _logger) = (database, contents, files, fallbacks, logger);
        // One folder per database: the cache directory may be shared, or left over from another database.
        var name = SHA256.HashData(Encoding.UTF8.GetBytes(database.Address));
        _folder = Path.Combine(disk.DirectoryPath, "stores", Convert.ToHexStringLower(name)[..16]);
    }

    /// <summary>The store at a slug, live or taken down. Null if the slug is invalid or its store has never been live.</summary>
    /// <exception cref="NpgsqlException">The database is unavailable, and the store is neither in memory nor on disk.</exception>
    public async ValueTask<Store?> FindAsync(string slug, CancellationToken cancellationToken)
    {
        if (!SlugPattern().IsMatch(slug))
            return null;
        return _stores.TryGetValue(slug, out Store? store) ? store : await LoadAsync(slug, refresh: false, cancellationToken);
    }

    /// <summary>Removes the store from memory, so that the next request reads it from the database.</summary>
    public void Forget(string slug) => _stores.Remove(slug);

    /// <summary>
    /// Reads the store from the database, unless the copy in memory is at least as new as <paramref name="changedAt"/>; null always reads. Returns null if there is no
    /// store, or if the database is unavailable: then the copies in memory and on disk are kept, and the next poll tries again.
    /// </summary>
    public async Task<Store?> RefreshAsync(string slug, DateTimeOffset? changedAt, CancellationToken cancellationToken)
    {
        try
        {
            return await LoadAsync(slug, refresh: true, cancellationToken, changedAt);
        }
        catch (Exception e) when (DatabaseProblems.IsUnavailable(e))
        {
            LogNotRefreshed(_logger, slug, e.Message);
            return null;
        }
    }

    /// <summary>The slugs of live and taken-down stores that changed after <paramref name="since"/>, oldest change first, by the database's clock; of all such stores if null.</summary>
    public async Task<IReadOnlyList<(string Slug, DateTimeOffset ChangedAt)>> ChangedAsync(DateTimeOffset? since, CancellationToken cancellationToken)
    {
        await using var connection = await _database.OpenConnectionAsync(cancellationToken);
        var rows = await connection.QueryAsync<(string Slug, DateTime ChangedAt)>(new CommandDefinition(
            """
            select slug, max(changed_at) from stores
            where (active_release is not null or taken_down_at is not null) and changed_at > coalesce(@since::timestamptz, '-infinity')
            group by slug order by max(changed_at)
            """, new { since = since?.UtcDateTime }, cancellationToken: cancellationToken));
        return [.. rows.Select(row => (row.Slug, (DateTimeOffset)row.ChangedAt))];
    }

    public void Dispose() => _stores.Dispose();

    private async Task<Store?> LoadAsync(string slug, bool refresh, CancellationToken cancellationToken, DateTimeOffset? changedAt = null)
    {
        // One load per slug at a time, so that the result of an older read can't replace that of a newer one. Slugs share 64 semaphores by hash.
        var loading = _loading[(uint)string.GetHashCode(slug, StringComparison.Ordinal) % _loading.Length];
        await loading.WaitAsync(cancellationToken);
        try
        {
            if (_stores.TryGetValue(slug, out Store? known) && (!refresh || known!.ChangedAt >= changedAt))
                return known;
            Store? store;
            var fromDatabase = false;
            try
            {
                store = await ReadFromDatabaseAsync(slug, cancellationToken);
                // Cache the files before switching to the new release. If the database becomes unavailable in between, the old release is served completely.
                if (store is not null)
                    await _files.CacheOnDiskAsync(store.Files.Values.Concat(store.FormerAssets.Values), cancellationToken);
                fromDatabase = true;
            }
            catch (Exception e) when (!refresh && DatabaseProblems.IsUnavailable(e) && ReadFromDisk(slug) is { } cached)
            {
                _fallbacks.Use(Fallback);
                LogServedFromDisk(_logger, slug, e.Message);
                store = cached;
            }

            // Unknown slugs are not cached: anyone can request arbitrary names and would fill the memory.
            if (store is null)
            {
                _stores.Remove(slug);
                return null;
            }

            _stores.Set(slug, store, new MemoryCacheEntryOptions { Size = 1 + store.Files.Count + store.FormerAssets.Count });
            if (fromDatabase)
                await WriteToDiskAsync(store, cancellationToken);
            return store;
        }
        finally
        {
            loading.Release();
        }
    }

    private async Task<Store?> ReadFromDatabaseAsync(string slug, CancellationToken cancellationToken)
    {
        Guid? deleted = null;
        while (true)
        {
            var pointer = await _database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<(Guid? Release, bool TakenDown, DateTime ChangedAt, Guid[] Retained)>(new CommandDefinition(
                """
                select s.active_release, s.taken_down_at is not null, s.changed_at,
                  array(select id from releases where shop_id = s.shop_id and activated_at is not null order by activated_at desc limit @retained)
                from stores s where s.slug = @slug
                order by s.taken_down_at is null desc, s.changed_at desc limit 1
                """, new { slug, retained = _retainedReleases }, cancellationToken: cancellationToken)), cancellationToken);
            // Also what Dapper returns when there is no row.
            if (pointer is { Release: null, TakenDown: false })
                return null;
            var contents = pointer.Release is { } active ? await _contents.FindAsync(active, pointer.Retained, cancellationToken) : null;
            // No files found: the release was probably replaced and deleted between the two reads, so read again. If the same release is still active, it really has no files.
            if (pointer.Release is not null && contents is null && deleted != pointer.Release)
            {
                deleted = pointer.Release;
                continue;
            }

            var none = FrozenDictionary<string, StoredFile>.Empty;
            return new Store(slug, pointer.Release, pointer.TakenDown, new DateTimeOffset(pointer.ChangedAt), contents?.Files ?? none, contents?.FormerAssets ?? none);
        }
    }

    private Store? ReadFromDisk(string slug)
    {
        try
        {
            var cached = JsonSerializer.Deserialize<CachedStore>(File.ReadAllBytes(PathOf(slug)), PlatformJson.Tolerant);
            return cached is null ? null : new Store(slug, cached.Release, cached.TakenDown, cached.ChangedAt, cached.Files.ToFrozenDictionary(
                file => file.Path,
                file => new StoredFile(FileDigest.TryParse(file.Digest, out var digest) ? digest : throw new JsonException("Not a digest."), file.ContentType, file.Size)),
                FrozenDictionary<string, StoredFile>.Empty);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    private async Task WriteToDiskAsync(Store store, CancellationToken cancellationToken)
    {
        try
        {
            var cached = new CachedStore(store.Release, store.TakenDown, store.ChangedAt,
                [.. store.Files.Concat(store.FormerAssets).Select(file => new CachedFile(file.Key, file.Value.Digest.Hex, file.Value.ContentType, file.Value.Size))]);
            await DigestCache.WriteAtomicallyAsync(PathOf(store.Slug), JsonSerializer.SerializeToUtf8Bytes(cached, PlatformJson.Tolerant), cancellationToken);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotCached(_logger, store.Slug, e.Message);
        }
    }

    private string PathOf(string slug) => Path.Combine(_folder, slug + ".json");

    [GeneratedRegex(@"^[a-z0-9-]{1,63}\z", RegexOptions.NonBacktracking)]
    private static partial Regex SlugPattern();

    [LoggerMessage(LogLevel.Warning, "The database is unavailable; serving the last known release of store {Slug}: {Reason}")]
    private static partial void LogServedFromDisk(ILogger logger, string slug, string reason);

    [LoggerMessage(LogLevel.Information, "Could not refresh store {Slug}, the next poll will try again: {Reason}")]
    private static partial void LogNotRefreshed(ILogger logger, string slug, string reason);

    [LoggerMessage(LogLevel.Debug, "Could not cache store {Slug} on disk: {Reason}")]
    private static partial void LogNotCached(ILogger logger, string slug, string reason);

    private sealed record CachedStore(Guid? Release, bool TakenDown, DateTimeOffset ChangedAt, IReadOnlyList<CachedFile> Files);

    private sealed record CachedFile(string Path, string Digest, string ContentType, int Size);
}
