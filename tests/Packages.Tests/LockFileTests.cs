using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Platform.TestSupport;

namespace Platform.Packages.Tests;

/// <summary>CI restores what the lock files list, and nothing else: they must be there, and hold on every kind of machine.</summary>
public sealed class LockFileTests
{
    private static readonly string[] Projects = [.. Regex.Matches(File.ReadAllText(Path.Combine(RepositoryRoot.Path, "Platform.sln")), @"""(?<path>[^""]+\.csproj)""", RegexOptions.ExplicitCapture)
        .Select(match => Path.Combine(RepositoryRoot.Path, match.Groups["path"].Value.Replace('\\', '/')))];

    [Fact]
    public void Every_project_that_does_not_build_on_the_AppHost_has_a_lock_file()
    {
        Projects.ShouldNotBeEmpty();
        foreach (var project in Projects)
        {
            var content = File.ReadAllText(project);
            var buildsOnAppHost = content.Contains("Aspire.AppHost.Sdk", StringComparison.Ordinal) || content.Contains("AppHost.csproj", StringComparison.Ordinal);
            File.Exists(LockFileOf(project)).ShouldBe(!buildsOnAppHost, $"{project}: see RestorePackagesWithLockFile in Directory.Build.props.");
        }
    }

    [Fact]
    public void NuGet_lock_files_pin_each_package_by_content_and_list_none_that_Aspire_adds_for_one_platform()
    {
        foreach (var file in Projects.Select(LockFileOf).Where(File.Exists))
        {
            foreach (var (name, package) in JsonNode.Parse(File.ReadAllText(file))!["dependencies"]!["net10.0"]!.AsObject().Where(entry => entry.Value!["type"]!.GetValue<string>() != "Project"))
            {
                package!["contentHash"].ShouldNotBeNull($"{name} in {file}");
                name.ShouldNotStartWith("Aspire.Dashboard.Sdk.", customMessage: file);
                name.ShouldNotStartWith("Aspire.Hosting.Orchestration.", customMessage: file);
            }
        }
    }

    [Fact]
    public void The_npm_lock_file_pins_each_package_by_content_and_names_no_registry()
    {
        NpmLockFile.Unpinned("eng/npm/package-lock.json").ShouldBeEmpty();
    }

    private static string LockFileOf(string project) => Path.Combine(Path.GetDirectoryName(project)!, "packages.lock.json");
}
