using System.Security.Cryptography;
using System.Text;
using Aspire.Hosting;

namespace Platform.AppHost.Kubernetes;

/// <summary>
/// Writes the published files, and a list of their digests in the format of sha256sum. Publishing again replaces or removes the files on that list, except
/// those changed since. If a file that isn't on the list is in the way, nothing is written.
/// </summary>
internal static class OutputDirectory
{
    public const string Record = ".published";

    private const string Usable = "choose a directory that does not exist, is empty, or was published to before.";

    /// <returns>A message for each file that was kept because it had been changed.</returns>
    /// <exception cref="DistributedApplicationException">The directory contains files that weren't published.</exception>
    public static IReadOnlyList<string> Write(string directory, IReadOnlyDictionary<string, string> files)
    {
        var before = ReadRecord(directory);
        if (files.Keys.FirstOrDefault(file => !before.ContainsKey(file) && Path.Exists(Path.Combine(directory, file))) is { } foreign)
            throw new DistributedApplicationException($"{Path.Combine(directory, foreign)} already exists and was not published here, so it is not overwritten.");

        var remarks = new List<string>();
        foreach (var (file, published) in before)
        {
            var path = Path.Combine(directory, file);
            if (files.ContainsKey(file) || !File.Exists(path))
                continue;
            if (Digest(File.ReadAllText(path)) == published)
                Delete(directory, file);
            else
                remarks.Add($"{file} is no longer published, but was changed and is kept.");
        }

        foreach (var (file, content) in files)
        {
            var path = Path.Combine(directory, file);
            var isChanged = before.TryGetValue(file, out var published) && File.Exists(path) && Digest(File.ReadAllText(path)) is var present && present != published && present != Digest(content);
            if (!isChanged)
            {
                WriteFile(path, content);
                if (File.Exists($"{path}.new"))
                    File.Delete($"{path}.new");
            }
            else if (Digest(content) != published)
            {
                WriteFile($"{path}.new", content);
                remarks.Add($"{file} was changed and is kept; the new version is in {file}.new.");
            }
        }

        WriteFile(Path.Combine(directory, Record), string.Concat(files.Select(file => $"{Digest(file.Value)}  {file.Key}\n")));
        return remarks;
    }

    private static SortedDictionary<string, string> ReadRecord(string directory)
    {
        var record = new SortedDictionary<string, string>(StringComparer.Ordinal);
        if (File.Exists(directory))
            throw new DistributedApplicationException($"{directory} is a file: {Usable}");
        if (!Directory.Exists(directory) || !Directory.EnumerateFileSystemEntries(directory).Any())
            return record;

        var path = Path.Combine(directory, Record);
        if (!File.Exists(path))
            throw new DistributedApplicationException($"{directory} contains other files: {Usable}");
        foreach (var line in File.ReadAllLines(path))
        {
            if (line.Split("  ", 2) is not [{ Length: 64 } digest, { Length: > 0 } file] || !Path.GetFullPath(file, directory).StartsWith($"{Path.GetFullPath(directory)}/", StringComparison.Ordinal))
                throw new DistributedApplicationException($"{path} is corrupt: publish to another directory.");
            record[file] = digest;
        }

        return record;
    }

    private static string Digest(string content) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(content)));

    private static void WriteFile(string path, string content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, content);
    }

    private static void Delete(string root, string file)
    {
        File.Delete(Path.Combine(root, file));
        for (var directory = Path.GetDirectoryName(file); directory is { Length: > 0 } && !Directory.EnumerateFileSystemEntries(Path.Combine(root, directory)).Any(); directory = Path.GetDirectoryName(directory))
            Directory.Delete(Path.Combine(root, directory));
    }
}
