using System.Collections.Frozen;
using Dapper;
using Microsoft.Extensions.Caching.Memory;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>A file that a store serves.</summary>
internal sealed record StoredFile(FileDigest Digest, string ContentType, int Size);

/// <summary>Caches the files of releases, by path. A release never changes, so an entry never becomes stale.</summary>
internal sealed class ReleaseContents(PostgresDatabase database) : IDisposable
{
    // The cache's limit in files, which take about 20 MB.
    private const int MaxFiles = 100_000;

    private readonly MemoryCache _releases = new(new MemoryCacheOptions { SizeLimit = MaxFiles });

    /// <summary>Caches a release that this process has just stored.</summary>
    public void Add(Guid release, IEnumerable<ReleaseFile> files) =>
        Add(new(release, AssetsOnly: false), files.ToFrozenDictionary(file => file.Path, file => new StoredFile(file.Digest, file.ContentType, file.Content.Length)));

    /// <summary>All files of <paramref name="active"/>, and the assets of <paramref name="former"/> releases that it doesn't have. Null if the release no longer exists.</summary>
    public async Task<(FrozenDictionary<string, StoredFile> Files, FrozenDictionary<string, StoredFile> FormerAssets)?> FindAsync(
        Guid active, IEnumerable<Guid> former, CancellationToken cancellationToken)
    {
        var wanted = former.Where(release => release != active).Select(release => new Key(release, AssetsOnly: true)).Prepend(new(active, AssetsOnly: false)).ToList();
        var found = wanted.ToDictionary(key => key, Cached);
        await ReadAsync([.. wanted.Where(key => found[key] is null)], found, cancellationToken);
        if (found[wanted[0]] is not { } files)
            return null;
        var formerAssets = new Dictionary<string, StoredFile>();
        foreach (var (path, file) in wanted.Skip(1).SelectMany(key => found[key] ?? FrozenDictionary<string, StoredFile>.Empty))
        {
            if (ReleaseFile.IsAsset(path) && !files.ContainsKey(path))
                formerAssets.TryAdd(path, file);
        }

        return (files, formerAssets.ToFrozenDictionary());
    }

    public void Dispose() => _releases.Dispose();

    private FrozenDictionary<string, StoredFile>? Cached(Key key) =>
        _releases.TryGetValue(key, out FrozenDictionary<string, StoredFile>? files)
        || key.AssetsOnly && _releases.TryGetValue(key with { AssetsOnly = false }, out files) ? files : null;

    private async Task ReadAsync(IReadOnlyCollection<Key> unknown, Dictionary<Key, FrozenDictionary<string, StoredFile>?> found, CancellationToken cancellationToken)
    {
        if (unknown.Count == 0)
            return;
        var rows = await database.ReadAsync(connection => connection.QueryAsync<Row>(new CommandDefinition(
            """
            select r.release_id as Release, r.path as Path, r.digest as Digest, r.content_type as ContentType, f.size as Size
            from release_files r join files f on f.digest = r.digest
            where r.release_id = any(@all) and (r.release_id = any(@whole) or r.path like @assets)
            """,
            new
            {
                all = unknown.Select(key => key.Release).ToArray(),
                whole = unknown.Where(key => !key.AssetsOnly).Select(key => key.Release).ToArray(),
                assets = ReleaseFile.AssetsFolder.Replace("_", @"\_", StringComparison.Ordinal) + "%",
            }, cancellationToken: cancellationToken)), cancellationToken);
        var releases = rows.ToLookup(row => row.Release);
        foreach (var key in unknown.Where(key => releases.Contains(key.Release)))
            found[key] = Add(key, releases[key.Release].ToFrozenDictionary(row => row.Path, row => new StoredFile(FileDigest.From(row.Digest), row.ContentType, row.Size)));
    }

    private FrozenDictionary<string, StoredFile> Add(Key key, FrozenDictionary<string, StoredFile> files) =>
        _releases.Set(key, files, new MemoryCacheEntryOptions { Size = 1 + files.Count });

    private readonly record struct Key(Guid Release, bool AssetsOnly);

    private sealed record Row(Guid Release, string Path, byte[] Digest, string ContentType, int Size);
}
