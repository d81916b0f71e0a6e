using Dapper;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>Reads the files of stores from memory, else from the disk cache, else from the database.</summary>
internal sealed class StoreFiles(PostgresDatabase database, DigestCache disk, IOptions<StoreOptions> options) : IDisposable
{
    // Larger files are not cached in memory; each would evict many small ones.
    private const int LargestInMemory = 2 * 1024 * 1024;
    private const int Batch = 32;

    private readonly MemoryCache _memory = new(new MemoryCacheOptions { SizeLimit = options.Value.MemoryCacheSize });

    public async ValueTask<byte[]> GetAsync(FileDigest digest, CancellationToken cancellationToken)
    {
        if (_memory.TryGetValue(digest, out byte[]? content))
            return content!;

        content = await disk.ReadAsync(digest, cancellationToken);
        if (content is null)
        {
            content = await ReadAsync(digest, cancellationToken);
            await disk.WriteAsync(digest, content, cancellationToken);
        }

        if (content.Length <= LargestInMemory)
            _memory.Set(digest, content, new MemoryCacheEntryOptions { Size = content.Length + 200 });
        return content;
    }

    /// <summary>Those of <paramref name="files"/> that the disk cache doesn't have.</summary>
    public IReadOnlyList<StoredFile> NotOnDisk(IEnumerable<StoredFile> files) =>
        [.. files.DistinctBy(file => file.Digest).Where(file => !disk.Contains(file.Digest))];

    /// <summary>Copies <paramref name="files"/> to the disk cache.</summary>
    /// <param name="files">Files that it doesn't have.</param>
    /// <param name="cancellationToken">Cancels the copying.</param>
    /// <param name="usedAt">When they were last used; now if null.</param>
    public async Task CacheOnDiskAsync(IReadOnlyList<StoredFile> files, CancellationToken cancellationToken, DateTimeOffset? usedAt = null)
    {
        foreach (var batch in files.Chunk(Batch))
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            foreach (var content in await connection.QueryAsync<byte[]>(new CommandDefinition(
                "select content from files where digest = any(@digests)",
                new { digests = batch.Select(file => file.Digest.Bytes).ToArray() }, cancellationToken: cancellationToken)))
            {
                await disk.WriteAsync(FileDigest.Of(content), content, cancellationToken, usedAt);
            }
        }
    }

    public void Dispose() => _memory.Dispose();

    private Task<byte[]> ReadAsync(FileDigest digest, CancellationToken cancellationToken) => database.ReadAsync(async connection =>
        await connection.ExecuteScalarAsync<byte[]>(new CommandDefinition(
            "select content from files where digest = @Bytes", new { digest.Bytes }, cancellationToken: cancellationToken))
        ?? throw new FileNotFoundException($"The file {digest} of a live store does not exist any more."), cancellationToken);
}
