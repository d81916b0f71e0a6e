using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>
/// What was last known to be served at each slug, for when the database is unavailable: one small file per store in the disk cache, so that reading, changing or evicting one
/// store costs the same no matter how many there are.
/// </summary>
internal sealed class StoreEntries(DigestCache disk, PostgresDatabase database)
{
    private const int DigestLength = 2 * SHA256.HashSizeInBytes;
    // The digest of everything that follows it, the time of the change in ticks, and a line feed.
    private const int HeaderLength = DigestLength + 1 + 19 + 1;

    // One folder per database: the cache directory may be shared, or left over from another database.
    private readonly string _folder = Path.Combine(disk.DirectoryPath, "stores", Hash(database.Address)[..16]);

    /// <summary>The store; null if it isn't cached, or its entry is corrupt.</summary>
    public Store? Read(string slug)
    {
        try
        {
            var path = PathOf(slug);
            var content = File.ReadAllBytes(path);
            if (content.Length < HeaderLength || !content.AsSpan(0, DigestLength).SequenceEqual(Encoding.ASCII.GetBytes(FileDigest.Of(content.AsSpan(DigestLength)).Hex)))
                return null;
            var entry = JsonSerializer.Deserialize<Entry>(content.AsSpan(HeaderLength), PlatformJson.Tolerant)!;
            disk.TouchIfExists(path);
            return new Store(slug, entry.Release, entry.TakenDown, ChangedAt(content)!.Value, entry.Files.ToDictionary(file => file.Path, file => file.ToFile()), new Dictionary<string, StoredFile>());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    /// <summary>When the cached state of the store was set, by the database's clock; null if the store isn't cached. Reads only the beginning of the entry and doesn't verify it.</summary>
    public DateTimeOffset? ChangedAt(string slug)
    {
        try
        {
            Span<byte> header = stackalloc byte[HeaderLength];
            using var file = File.OpenHandle(PathOf(slug));
            return RandomAccess.Read(file, header, 0) == HeaderLength ? ChangedAt(header) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Writes the store's entry. Must be called after its files are cached.</summary>
    public async Task WriteAsync(Store store, CancellationToken cancellationToken, DateTimeOffset? usedAt = null)
    {
        var entry = new Entry(store.Release, store.TakenDown, [.. store.Files.Concat(store.FormerAssets).Select(file => EntryFile.Of(file.Key, file.Value))]);
        using var content = new MemoryStream();
        content.Write(Encoding.ASCII.GetBytes(new string('0', DigestLength)));
        content.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $" {store.ChangedAt.UtcTicks:d19}\n")));
        await JsonSerializer.SerializeAsync(content, entry, PlatformJson.Tolerant, cancellationToken);
        var bytes = content.GetBuffer().AsMemory(0, (int)content.Length);
        Encoding.ASCII.GetBytes(FileDigest.Of(bytes.Span[DigestLength..]).Hex, bytes.Span);
        await disk.WriteAsync(PathOf(store.Slug), bytes, cancellationToken, usedAt);
    }

    /// <summary>Notes that the store is in use, so that neither its entry nor its files are evicted before those of others.</summary>
    public void Touch(Store store)
    {
        disk.TouchIfExists(PathOf(store.Slug));
        foreach (var file in store.AllFiles)
            disk.Touch(file.Digest);
    }

    private static DateTimeOffset? ChangedAt(ReadOnlySpan<byte> header) =>
        Utf8Parser.TryParse(header.Slice(DigestLength + 1, 19), out long ticks, out _) ? new DateTimeOffset(ticks, TimeSpan.Zero) : null;

    // 256 folders, because some file systems are slow with very large ones.
    private string PathOf(string slug) => Path.Combine(_folder, Hash(slug)[..2], slug);

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private sealed record Entry(Guid? Release, bool TakenDown, IReadOnlyList<EntryFile> Files);

    private sealed record EntryFile(string Path, string Digest, string ContentType, int Size)
    {
        public static EntryFile Of(string path, StoredFile file) => new(path, file.Digest.Hex, file.ContentType, file.Size);

        public StoredFile ToFile() => new(FileDigest.TryParse(Digest, out var digest) ? digest : throw new JsonException("Not a digest."), string.Intern(ContentType), Size);
    }
}
