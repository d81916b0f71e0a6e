using System.Text.Json.Nodes;

namespace Platform.TestSupport;

public static class NpmLockFile
{
    /// <summary>Asserts that a lock file of this repository pins every package by its SHA-512 and names no registry.</summary>
    public static void ShouldPinByContent(string path)
    {
        var packages = JsonNode.Parse(File.ReadAllText(Path.Combine(RepositoryRoot.Path, path)))!["packages"]!.AsObject().Where(entry => entry.Key.Length > 0).ToList();
        packages.ShouldNotBeEmpty();
        foreach (var (name, package) in packages)
        {
            package!["integrity"].ShouldNotBeNull(name).GetValue<string>().ShouldStartWith("sha512-", customMessage: name);
            package["resolved"].ShouldBeNull(name);
        }
    }
}
