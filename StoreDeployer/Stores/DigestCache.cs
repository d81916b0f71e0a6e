using Microsoft.Extensions.Options;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>
/// Files on the local disk, named after their digest and checked against it at each read. The cache is optional: it may be deleted at any time and shared by
/// processes. If the disk is full or read-only, stores are served from the database, more slowly and only while that is available.
/// </summary>
internal sealed partial class DigestCache
{
    // A full cache is trimmed to this share of its limit.
    private const double LowWater = 0.8;
    private static readonly TimeSpan TouchInterval = TimeSpan.FromHours(1);

    private readonly string _files;
    private readonly long _limit;
    private readonly TimeProvider _time;
    private readonly ILogger<DigestCache> _logger;
    private readonly Lock _trimming = new();
    private readonly Lazy<Task> _measured;
    private long _size;
    private int _failureLogged;

    public DigestCache(IOptions<StoreOptions> options, IHostEnvironment environment, TimeProvider time, ILogger<DigestCache> logger)
    {
        (_limit, _time, _logger) = (options.Value.CacheSize, time, logger);
        DirectoryPath = Path.GetFullPath(options.Value.CacheDirectory ?? Path.Combine(".data", "store-cache"), environment.ContentRootPath);
        _files = Path.Combine(DirectoryPath, "files");
        _measured = new(() => Task.Run(Measure));
    }

    public string DirectoryPath { get; }

    public bool Contains(FileDigest digest) => File.Exists(PathOf(digest));

    /// <summary>Whether <paramref name="size"/> more bytes fit without evicting anything.</summary>
    public bool HasRoomFor(long size) => Interlocked.Read(ref _size) + size <= _limit;

    public async Task<byte[]?> ReadAsync(FileDigest digest, CancellationToken cancellationToken)
    {
        var path = PathOf(digest);
        try
        {
            var content = await File.ReadAllBytesAsync(path, cancellationToken);
            if (FileDigest.Of(content) == digest)
            {
                Touch(path);
                return content;
            }

            LogCorrupt(_logger, digest.Hex);
            File.Delete(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            // Not cached.
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogFailureOnce(e);
        }

        return null;
    }

    public async Task WriteAsync(FileDigest digest, ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
    {
        var path = PathOf(digest);
        if (File.Exists(path) || content.Length > _limit)
            return;
        try
        {
            await WriteAtomicallyAsync(path, content, cancellationToken);
            Interlocked.Add(ref _size, content.Length);
            await _measured.Value;
            if (Interlocked.Read(ref _size) > _limit)
                Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogFailureOnce(e);
        }
    }

    /// <summary>Writes a temporary file and renames it, so that readers never see an incomplete one.</summary>
    public static async Task WriteAtomicallyAsync(string path, ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
    {
        CreateDirectory(Path.GetDirectoryName(path)!);
        var temporary = $"{path}.{Guid.NewGuid():n}.tmp";
        try
        {
            await File.WriteAllBytesAsync(temporary, content, cancellationToken);
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    private static void CreateDirectory(string path)
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(path);
        else
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private string PathOf(FileDigest digest) => Path.Combine(_files, digest.Hex[..2], digest.Hex);

    private void Touch(string path)
    {
        var now = _time.GetUtcNow().UtcDateTime;
        if (now - File.GetLastWriteTimeUtc(path) > TouchInterval)
            File.SetLastWriteTimeUtc(path, now);
    }

    private void Measure()
    {
        var directory = new DirectoryInfo(_files);
        if (directory.Exists)
            Interlocked.Add(ref _size, directory.EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length));
    }

    // Evicts the least recently used files. Those that live stores still need are read from the database again.
    private void Trim()
    {
        if (!_trimming.TryEnter())
            return;
        try
        {
            var files = new DirectoryInfo(_files).EnumerateFiles("*", SearchOption.AllDirectories).OrderBy(file => file.LastWriteTimeUtc).ToList();
            var size = files.Sum(file => file.Length);
            foreach (var file in files.TakeWhile(_ => size > _limit * LowWater))
            {
                size -= file.Length;
                file.Delete();
            }

            Interlocked.Exchange(ref _size, size);
        }
        finally
        {
            _trimming.Exit();
        }
    }

    private void LogFailureOnce(Exception exception)
    {
        if (Interlocked.Exchange(ref _failureLogged, 1) == 0)
            LogFailure(_logger, DirectoryPath, exception.Message);
    }

    [LoggerMessage(LogLevel.Warning, "Deleted the corrupt cache file {Digest}")]
    private static partial void LogCorrupt(ILogger logger, string digest);

    [LoggerMessage(LogLevel.Warning, "Could not use the store cache at {Directory}: {Reason}. Live stores depend on the database. Further failures are not logged")]
    private static partial void LogFailure(ILogger logger, string directory, string reason);
}
