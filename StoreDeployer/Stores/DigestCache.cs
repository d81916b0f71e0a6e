using Microsoft.Extensions.Options;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Stores;

/// <summary>
/// Files on the local disk, named by their digest and checked against it whenever they are read. It is a convenience: it may be deleted at any time, it
/// may be shared by processes, and a disk that is full or read-only costs nothing but speed, and availability while the database is away.
/// </summary>
internal sealed partial class DigestCache
{
    // How far a cache that is full is emptied.
    private const double LowWater = 0.8;
    private static readonly TimeSpan TouchInterval = TimeSpan.FromHours(1);

    private readonly string _files;
    private readonly long _limit;
    private readonly TimeProvider _time;
    private readonly ILogger<DigestCache> _logger;
    private readonly Lock _trimming = new();
    private readonly Lazy<Task> _measured;
    private long _size;
    private int _trouble;

    public DigestCache(IOptions<StoreOptions> options, IHostEnvironment environment, TimeProvider time, ILogger<DigestCache> logger)
    {
        (_limit, _time, _logger) = (options.Value.CacheSize, time, logger);
        DirectoryPath = Path.GetFullPath(options.Value.CacheDirectory ?? Path.Combine(".data", "store-cache"), environment.ContentRootPath);
        _files = Path.Combine(DirectoryPath, "files");
        _measured = new(() => Task.Run(Measure));
    }

    public string DirectoryPath { get; }

    public bool Contains(FileDigest digest) => File.Exists(PathOf(digest));

    /// <summary>Whether <paramref name="size"/> more bytes fit without anything having to go.</summary>
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

            LogBroken(_logger, digest.Hex);
            File.Delete(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            // Not kept.
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Trouble(e);
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
            await WriteWholeAsync(path, content, cancellationToken);
            Interlocked.Add(ref _size, content.Length);
            await _measured.Value;
            if (Interlocked.Read(ref _size) > _limit)
                Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Trouble(e);
        }
    }

    /// <summary>Writes a file under another name and moves it there, so that no reader ever sees a part of it.</summary>
    public static async Task WriteWholeAsync(string path, ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
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

    // What was not used for longest goes first. What a live store needs of it comes back from the database.
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

    private void Trouble(Exception exception)
    {
        if (Interlocked.Exchange(ref _trouble, 1) == 0)
            LogTrouble(_logger, DirectoryPath, exception.Message);
    }

    [LoggerMessage(LogLevel.Warning, "The cached file {Digest} is not what its name says; it was deleted")]
    private static partial void LogBroken(ILogger logger, string digest);

    [LoggerMessage(LogLevel.Warning, "The store cache at {Directory} can't be used ({Reason}): live stores depend on the database. This is said once")]
    private static partial void LogTrouble(ILogger logger, string directory, string reason);
}
