using Dapper;
using Microsoft.Extensions.Caching.Memory;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>Caches the files of releases, by path. A release never changes, so an entry never becomes stale.</summary>
internal sealed class ReleaseContents(PostgresDatabase database) : IDisposable
{
    private const long MaxMemory = 16 * 1024 * 1024;

    private readonly MemoryCache _releases = new(new MemoryCacheOptions { SizeLimit = MaxMemory });

    /// <summary>Caches a release that this process has just stored.</summary>
    public void Add(Guid release, IEnumerable<ReleaseFile> files) =>
        Add(new(release, AssetsOnly: false), files.ToDictionary(file => file.Path, file => new StoredFile(file.Digest, file.ContentType, file.Content.Length)));

    /// <summary>All files of <paramref name="active"/>, and the assets of <paramref name="former"/> releases that it doesn't have. Null if the release no longer exists.</summary>
    public async Task<(IReadOnlyDictionary<string, StoredFile> Files, IReadOnlyDictionary<string, StoredFile> FormerAssets)?> FindAsync(
        Guid active, IEnumerable<Guid> former, bool cache, CancellationToken cancellationToken)
    {
        var wanted = former.Where(release => release != active).Select(release => new Key(release, AssetsOnly: true)).Prepend(new(active, AssetsOnly: false)).ToList();
        var found = wanted.ToDictionary(key => key, Cached);
        await ReadAsync([.. wanted.Where(key => found[key] is null)], found, cache, cancellationToken);
        if (found[wanted[0]] is not { } files)
            return null;
        var formerAssets = new Dictionary<string, StoredFile>();
        foreach (var (path, file) in wanted.Skip(1).SelectMany(key => found[key] ?? []))
        {
            if (ReleaseFile.IsAsset(path) && !files.ContainsKey(path))
                formerAssets.TryAdd(path, file);
        }

        return (files, formerAssets);
    }

    public void Dispose() => _releases.Dispose();

    private Dictionary<string, StoredFile>? Cached(Key key) =>
        _releases.TryGetValue(key, out Dictionary<string, StoredFile>? files)
        || key.AssetsOnly && _releases.TryGetValue(key with { AssetsOnly = false }, out files) ? files : null;

    private async Task ReadAsync(
        IReadOnlyCollection<Key> unknown, Dictionary<Key, Dictionary<string, StoredFile>?> found, bool cache, CancellationToken cancellationToken)
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
        {
            // Content types are few, and the same strings each time, so they are interned.
            var files = releases[key.Release].ToDictionary(
                row => row.Path, row => new StoredFile(FileDigest.From(row.Digest), string.Intern(row.ContentType), row.Size));
            found[key] = cache ? Add(key, files) : files;
        }
    }

    private Dictionary<string, StoredFile> Add(Key key, Dictionary<string, StoredFile> files) =>
        _releases.Set(key, files, new MemoryCacheEntryOptions { Size = Store.SizeOf(files) });

    private readonly record struct Key(Guid Release, bool AssetsOnly);

    private sealed record Row(Guid Release, string Path, byte[] Digest, string ContentType, int Size);
}
