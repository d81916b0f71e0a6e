using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>A file that a store serves.</summary>
internal sealed record StoredFile(FileDigest Digest, string ContentType, int Size);

/// <summary>What is served at a slug: the active release, and the assets of the other retained releases. A page loaded before an activation still requests the assets of its own release.</summary>
/// <param name="Slug">The last part of the store's address.</param>
/// <param name="Release">The active release; null when there is none.</param>
/// <param name="TakenDown">Whether the store was taken down because its shop was deleted.</param>
/// <param name="ChangedAt">When a release was last activated or the store taken down, by the database's clock.</param>
/// <param name="Files">The files of the active release, by path; for a store read from disk, also the former assets.</param>
/// <param name="FormerAssets">Assets of earlier releases that the active one doesn't have, by path.</param>
internal sealed record Store(
    string Slug, Guid? Release, bool TakenDown, DateTimeOffset ChangedAt, IReadOnlyDictionary<string, StoredFile> Files, IReadOnlyDictionary<string, StoredFile> FormerAssets)
{
    private long _lastNoted = long.MinValue;

    /// <summary>Whether it was read from the database while this process followed the changes, so that it is known to be current. Otherwise the database must be asked as soon as it answers.</summary>
    public bool IsConfirmed { get; init; }

    /// <summary>All files that it may serve.</summary>
    public IEnumerable<StoredFile> AllFiles => Files.Values.Concat(FormerAssets.Values);

    /// <summary>The approximate size of the lists of files in memory.</summary>
    public long MemorySize => 200 + SizeOf(Files) + SizeOf(FormerAssets);

    /// <summary>The file at a path, or null.</summary>
    public StoredFile? Find(string path) => Files.GetValueOrDefault(path) ?? FormerAssets.GetValueOrDefault(path);

    /// <summary>Whether a request at <paramref name="now"/> (ticks) is the first one in <paramref name="interval"/> (ticks).</summary>
    public bool IsFirstRequestIn(long interval, long now)
    {
        var last = Volatile.Read(ref _lastNoted);
        return (last == long.MinValue || now - last >= interval) && Interlocked.CompareExchange(ref _lastNoted, now, last) == last;
    }

    /// <summary>Takes over when its requests were last noted from the store that it replaces.</summary>
    public Store NotedLike(Store? replaced)
    {
        _lastNoted = replaced?._lastNoted ?? _lastNoted;
        return this;
    }

    /// <summary>The approximate size of a list of files in memory.</summary>
    public static long SizeOf(IReadOnlyDictionary<string, StoredFile> files) => 100 + files.Keys.Sum(path => 180L + (2 * path.Length));
}
