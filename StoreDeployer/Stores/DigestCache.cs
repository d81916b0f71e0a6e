using System.IO.Enumeration;
using Microsoft.Extensions.Options;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>
/// Files on the local disk, named after their digest and checked against it at each read. The cache is optional: it may be deleted at any time and shared by
/// processes. If the disk is full or read-only, stores are served from the database, more slowly and only while that is available.
/// </summary>
internal sealed partial class DigestCache
{
    // A full cache is trimmed to this share of its limit. The background only fills it up to here, so that filling never evicts what was requested.
    private const double LowWater = 0.9;
    private static readonly TimeSpan TouchInterval = TimeSpan.FromHours(1);
    // Measuring a full cache takes about a second of CPU time, which is spread over at least 5 s.
    private static readonly TimeSpan MeasurePause = TimeSpan.FromMilliseconds(20);
    private static readonly EnumerationOptions WholeTree = new() { RecurseSubdirectories = true };

    private readonly string _files;
    private readonly long _limit;
    private readonly TimeProvider _time;
    private readonly ILogger<DigestCache> _logger;
    private readonly Lazy<Task> _measured;
    private long _size;
    private int _isTrimming;
    private int _failureLogged;

    public DigestCache(IOptions<StoreOptions> options, IHostEnvironment environment, TimeProvider time, ILogger<DigestCache> logger)
    {
        (_limit, _time, _logger) = (options.Value.CacheSize, time, logger);
        DirectoryPath = Path.GetFullPath(options.Value.CacheDirectory ?? Path.Combine(".data", "store-cache"), environment.ContentRootPath);
        _files = Path.Combine(DirectoryPath, "files");
        _measured = new(() => Task.Run(MeasureAsync));
    }

    public string DirectoryPath { get; }

    /// <summary>The running eviction; completed if there is none.</summary>
    internal Task Trimming { get; private set; } = Task.CompletedTask;

    public bool Contains(FileDigest digest) => File.Exists(PathOf(digest));

    /// <summary>Whether <paramref name="size"/> more bytes fit without evicting anything.</summary>
    public async Task<bool> HasRoomForAsync(long size, CancellationToken cancellationToken)
    {
        await _measured.Value.WaitAsync(cancellationToken);
        return Interlocked.Read(ref _size) + size <= _limit * LowWater;
    }

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

    /// <summary>Adds a file, unless it is there already.</summary>
    /// <param name="digest">Its digest.</param>
    /// <param name="content">Its content.</param>
    /// <param name="cancellationToken">Cancels the write.</param>
    /// <param name="usedAt">When it was last used, which decides how soon it is evicted; now if null.</param>
    public async Task WriteAsync(FileDigest digest, ReadOnlyMemory<byte> content, CancellationToken cancellationToken, DateTimeOffset? usedAt = null)
    {
        var path = PathOf(digest);
        if (!File.Exists(path))
            await WriteAsync(path, content, cancellationToken, usedAt);
    }

    /// <summary>Writes a file anywhere in the cache's directory, so that it counts towards the cache's size and can be evicted. Readers never see an incomplete one.</summary>
    public async Task WriteAsync(string path, ReadOnlyMemory<byte> content, CancellationToken cancellationToken, DateTimeOffset? usedAt = null)
    {
        if (content.Length > _limit)
            return;
        try
        {
            CreateDirectory(Path.GetDirectoryName(path)!);
            var temporary = $"{path}.{Guid.NewGuid():n}.tmp";
            try
            {
                await File.WriteAllBytesAsync(temporary, content, cancellationToken);
                if (usedAt is { } at)
                    File.SetLastWriteTimeUtc(temporary, at.UtcDateTime);
                File.Move(temporary, path, overwrite: true);
            }
            catch
            {
                File.Delete(temporary);
                throw;
            }

            _ = _measured.Value;
            if (Interlocked.Add(ref _size, content.Length) > _limit && Interlocked.Exchange(ref _isTrimming, 1) == 0)
                Trimming = Task.Run(Trim, CancellationToken.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogFailureOnce(e);
        }
    }

    /// <summary>Notes that a file is in use. Files that are served from memory would otherwise look unused.</summary>
    public void Touch(FileDigest digest) => TouchIfExists(PathOf(digest));

    /// <summary>Notes that a file written by <see cref="WriteAsync(string, ReadOnlyMemory{byte}, CancellationToken, DateTimeOffset?)"/> is in use.</summary>
    public void TouchIfExists(string path)
    {
        try
        {
            Touch(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            // Not cached, or evicted.
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogFailureOnce(e);
        }
    }

    private static void CreateDirectory(string path)
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(path);
        else
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private string PathOf(FileDigest digest) => digest.Hex switch { var hex => Path.Combine(_files, hex[..2], hex) };

    private void Touch(string path)
    {
        var now = _time.GetUtcNow().UtcDateTime;
        // The time of a file that doesn't exist is in 1601.
        if (now - File.GetLastWriteTimeUtc(path) > TouchInterval)
            File.SetLastWriteTimeUtc(path, now);
    }

    private async Task MeasureAsync()
    {
        try
        {
            foreach (var folder in new FileSystemEnumerable<string>(DirectoryPath, (ref FileSystemEntry entry) => entry.ToFullPath(), WholeTree)
            {
                ShouldIncludePredicate = (ref FileSystemEntry entry) => entry.IsDirectory,
            })
            {
                Interlocked.Add(ref _size, new FileSystemEnumerable<long>(folder, (ref FileSystemEntry entry) => entry.Length)
                {
                    ShouldIncludePredicate = (ref FileSystemEntry entry) => !entry.IsDirectory,
                }.Sum());
                await Task.Delay(MeasurePause, _time);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Nothing is cached yet, or the cache is being deleted. The next eviction measures again.
        }
    }

    // Evicts the least recently used files. Those that live stores still need are read from the database again. The files are not sorted, as there may be hundreds of
    // thousands: adding up their sizes by the second of their last use tells up to which second to delete.
    private void Trim()
    {
        try
        {
            var last = long.MinValue;
            var sizes = new SortedDictionary<long, long>();
            foreach (var (second, size) in Files((ref FileSystemEntry entry) => (SecondOf(ref entry), entry.Length), all: true))
                sizes[second] = sizes.GetValueOrDefault(second) + size;
            var total = sizes.Values.Sum();
            var excess = total - (long)(_limit * LowWater);
            var excessInLast = excess;
            foreach (var (second, size) in sizes.TakeWhile(_ => excess > 0))
            {
                (last, excessInLast) = (second, excess);
                excess -= size;
            }

            foreach (var (path, second, size) in Files((ref FileSystemEntry entry) => (entry.ToFullPath(), SecondOf(ref entry), entry.Length), all: false))
            {
                if (second == last)
                {
                    if (excessInLast <= 0)
                        continue;
                    excessInLast -= size;
                }

                File.Delete(path);
                total -= size;
            }

            Interlocked.Exchange(ref _size, total);

            FileSystemEnumerable<T> Files<T>(FileSystemEnumerable<T>.FindTransform transform, bool all) => new(DirectoryPath, transform, WholeTree)
            {
                ShouldIncludePredicate = (ref FileSystemEntry entry) => !entry.IsDirectory && (all || SecondOf(ref entry) <= last),
            };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogFailureOnce(e);
        }
        finally
        {
            Volatile.Write(ref _isTrimming, 0);
        }

        static long SecondOf(ref FileSystemEntry entry) => entry.LastWriteTimeUtc.ToUnixTimeSeconds();
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
