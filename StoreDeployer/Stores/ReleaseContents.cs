using System.Collections.Frozen;
using Dapper;
using Microsoft.Extensions.Caching.Memory;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>A file that a store serves.</summary>
internal sealed record StoredFile(FileDigest Digest, string ContentType, int Size);

/// <summary>What each release consists of, by path. A release never changes, so what is known of one stays true, and a rollback reads nothing again.</summary>
internal sealed class ReleaseContents(PostgresDatabase database) : IDisposable
{
    // As a measure of what they take; some 100 MB.
    private const int MaxFiles = 500_000;

    private readonly MemoryCache _releases = new(new MemoryCacheOptions { SizeLimit = MaxFiles });

    /// <summary>Takes note of a release that this process has just stored.</summary>
    public void Add(Guid release, IEnumerable<ReleaseFile> files) =>
        Add(release, files.ToFrozenDictionary(file => file.Path, file => new StoredFile(file.Digest, file.ContentType, file.Content.Length)));

    /// <summary>The files of each of <paramref name="releases"/> that still exists.</summary>
    public async Task<IReadOnlyDictionary<Guid, FrozenDictionary<string, StoredFile>>> GetAsync(IEnumerable<Guid> releases, CancellationToken cancellationToken)
    {
        var known = new Dictionary<Guid, FrozenDictionary<string, StoredFile>>();
        var unknown = new List<Guid>();
        foreach (var release in releases.Distinct())
        {
            if (_releases.TryGetValue(release, out FrozenDictionary<string, StoredFile>? files))
                known[release] = files!;
            else
                unknown.Add(release);
        }

        if (unknown.Count == 0)
            return known;
        var rows = await database.ReadAsync(connection => connection.QueryAsync<Row>(new CommandDefinition(
            """
            select r.release_id as Release, r.path as Path, r.digest as Digest, r.content_type as ContentType, f.size as Size
            from release_files r join files f on f.digest = r.digest where r.release_id = any(@unknown)
            """, new { unknown }, cancellationToken: cancellationToken)), cancellationToken);
        foreach (var release in rows.GroupBy(row => row.Release))
        {
            known[release.Key] = Add(release.Key, release.ToFrozenDictionary(row => row.Path, row => new StoredFile(FileDigest.From(row.Digest), row.ContentType, row.Size)));
        }

        return known;
    }

    public void Dispose() => _releases.Dispose();

    private FrozenDictionary<string, StoredFile> Add(Guid release, FrozenDictionary<string, StoredFile> files) =>
        _releases.Set(release, files, new MemoryCacheEntryOptions { Size = 1 + files.Count });

    private sealed record Row(Guid Release, string Path, byte[] Digest, string ContentType, int Size);
}
