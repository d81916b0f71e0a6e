using System.Text.Json.Nodes;

namespace Platform.TestSupport;

public static class NpmLockFile
{
    /// <summary>The packages of a lock file of this repository that are not pinned by their SHA-512, or that name a registry.</summary>
    public static IReadOnlyList<string> Unpinned(string path)
    {
        var packages = JsonNode.Parse(File.ReadAllText(Path.Combine(RepositoryRoot.Path, path)))!["packages"]!.AsObject().Where(entry => entry.Key.Length > 0).ToList();
        return packages.Count == 0
            ? throw new InvalidOperationException($"{path} lists no packages.")
            : [.. packages.Where(entry => entry.Value!["integrity"]?.GetValue<string>().StartsWith("sha512-", StringComparison.Ordinal) != true || entry.Value["resolved"] is not null).Select(entry => entry.Key)];
    }
}
