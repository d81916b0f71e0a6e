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

/// <summary>What is served at a slug: the pages of the active release, and the assets of all that are retained, since a page that was loaded before an activation still asks for its own.</summary>
/// <param name="Slug">The store's part of its address.</param>
/// <param name="Release">The active release; null when there is none.</param>
/// <param name="TakenDown">Whether there was a store that is gone.</param>
/// <param name="ChangedAt">When the pointer last changed, by the database's clock.</param>
/// <param name="Files">Those of the active release, by path.</param>
/// <param name="FormerAssets">Those of the others that it lacks, by path.</param>
internal sealed record Store(
    string Slug, Guid? Release, bool TakenDown, DateTimeOffset ChangedAt, FrozenDictionary<string, StoredFile> Files, FrozenDictionary<string, StoredFile> FormerAssets)
{
    /// <summary>The file at a path, or null.</summary>
    public StoredFile? Find(string path) => Files.GetValueOrDefault(path) ?? FormerAssets.GetValueOrDefault(path);
}

/// <summary>
/// The pointers of the stores: in memory, and on disk for when the database is away. A change made by this process is seen at once, one made by another at
/// its signal or the next poll.
/// </summary>
internal sealed partial class StoreDirectory : IDisposable
{
    public const string SignalName = "stores";

    // Files of stores that are kept in memory, as a measure of what they take; some 100 MB.
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
        // The pointers of one database only: the cache may be shared, or left over from another.
        var name = SHA256.HashData(Encoding.UTF8.GetBytes(database.Address));
        _folder = Path.Combine(disk.DirectoryPath, "stores", Convert.ToHexStringLower(name)[..16]);
    }

    /// <summary>The store at a slug, or null when there never was one.</summary>
    /// <exception cref="NpgsqlException">It is not known here, and the database can't be asked.</exception>
    public async ValueTask<Store?> FindAsync(string slug, CancellationToken cancellationToken)
    {
        if (!SlugPattern().IsMatch(slug))
            return null;
        return _stores.TryGetValue(slug, out Store? store) ? store : await LoadAsync(slug, again: false, cancellationToken);
    }

    /// <summary>Makes the next reader look at the database.</summary>
    public void Forget(string slug) => _stores.Remove(slug);

    /// <summary>Looks at the database again, unless the change of <paramref name="changedAt"/> is known. When it is away, what is known stays; the next poll makes up for it.</summary>
    public async Task<Store?> RefreshAsync(string slug, DateTimeOffset? changedAt, CancellationToken cancellationToken)
    {
        try
        {
            return await LoadAsync(slug, again: true, cancellationToken, changedAt);
        }
        catch (Exception e) when (DatabaseProblems.IsUnavailable(e))
        {
            LogNotRefreshed(_logger, slug, e.Message);
            return null;
        }
    }

    /// <summary>Slugs whose pointers changed since <paramref name="since"/>, by the database's clock; all of them when null.</summary>
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

    public void Dispose()
    {
        _stores.Dispose();
        foreach (var semaphore in _loading)
            semaphore.Dispose();
    }

    private async Task<Store?> LoadAsync(string slug, bool again, CancellationToken cancellationToken, DateTimeOffset? changedAt = null)
    {
        // One at a time, so that what was read first never replaces what was read later.
        var loading = _loading[(uint)string.GetHashCode(slug, StringComparison.Ordinal) % _loading.Length];
        await loading.WaitAsync(cancellationToken);
        try
        {
            if (_stores.TryGetValue(slug, out Store? known) && (!again || known!.ChangedAt >= changedAt))
                return known;
            Store? store;
            var fromDatabase = false;
            try
            {
                store = await ReadFromDatabaseAsync(slug, cancellationToken);
                // The files first: were the database to go away in between, a store that is served as it was is better than a new one without pages.
                if (store is not null)
                    await _files.KeepAsync(store.Files.Values.Concat(store.FormerAssets.Values), cancellationToken);
                fromDatabase = true;
            }
            catch (Exception e) when (!again && DatabaseProblems.IsUnavailable(e) && ReadFromDisk(slug) is { } kept)
            {
                _fallbacks.Use(Fallback);
                LogServedFromDisk(_logger, slug, e.Message);
                store = kept;
            }

            // What is not there is not remembered: anybody can ask for any name.
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
        Guid? gone = null;
        while (true)
        {
            var pointer = await _database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<Pointer>(new CommandDefinition(
                """
                select s.active_release as Release, s.taken_down_at is not null as TakenDown, s.changed_at as ChangedAt,
                  array(select id from releases where shop_id = s.shop_id and activated_at is not null order by activated_at desc limit @retained) as Retained
                from stores s where s.slug = @slug
                order by s.taken_down_at is null desc, s.changed_at desc limit 1
                """, new { slug, retained = _retainedReleases }, cancellationToken: cancellationToken)), cancellationToken);
            if (pointer is null or { Release: null, TakenDown: false })
                return null;
            var contents = pointer.Release is { } active ? await _contents.FindAsync(active, pointer.Retained, cancellationToken) : null;
            // Collected meanwhile, so that another is active now; unless it never had any files.
            if (pointer.Release is not null && contents is null && gone != pointer.Release)
            {
                gone = pointer.Release;
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
            var kept = JsonSerializer.Deserialize<Kept>(File.ReadAllBytes(PathOf(slug)), PlatformJson.Tolerant);
            return kept is null ? null : new Store(slug, kept.Release, kept.TakenDown, kept.ChangedAt, kept.Files.ToFrozenDictionary(
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
            var kept = new Kept(store.Release, store.TakenDown, store.ChangedAt,
                [.. store.Files.Concat(store.FormerAssets).Select(file => new KeptFile(file.Key, file.Value.Digest.Hex, file.Value.ContentType, file.Value.Size))]);
            await DigestCache.WriteWholeAsync(PathOf(store.Slug), JsonSerializer.SerializeToUtf8Bytes(kept, PlatformJson.Tolerant), cancellationToken);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotKept(_logger, store.Slug, e.Message);
        }
    }

    private string PathOf(string slug) => Path.Combine(_folder, slug + ".json");

    [GeneratedRegex(@"^[a-z0-9-]{1,63}\z", RegexOptions.NonBacktracking)]
    private static partial Regex SlugPattern();

    [LoggerMessage(LogLevel.Warning, "The database can't be asked for store {Slug} ({Reason}); it is served as it was last known")]
    private static partial void LogServedFromDisk(ILogger logger, string slug, string reason);

    [LoggerMessage(LogLevel.Information, "Store {Slug} will be looked at again later: {Reason}")]
    private static partial void LogNotRefreshed(ILogger logger, string slug, string reason);

    [LoggerMessage(LogLevel.Debug, "The pointer of store {Slug} is not kept on disk: {Reason}")]
    private static partial void LogNotKept(ILogger logger, string slug, string reason);

    // Not by its constructor: an array's type is not known to Dapper beforehand.
    private sealed record Pointer
    {
        public Guid? Release { get; init; }

        public bool TakenDown { get; init; }

        public DateTime ChangedAt { get; init; }

        public Guid[] Retained { get; init; } = [];
    }

    private sealed record Kept(Guid? Release, bool TakenDown, DateTimeOffset ChangedAt, IReadOnlyList<KeptFile> Files);

    private sealed record KeptFile(string Path, string Digest, string ContentType, int Size);
}
