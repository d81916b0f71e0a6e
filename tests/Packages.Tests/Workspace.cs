using System.Diagnostics;
using System.IO.Compression;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Platform.TestSupport;

namespace Platform.Packages.Tests;

/// <summary>A folder outside of the repository with a feed of the three packages and projects that use them. Removed when it is disposed of.</summary>
internal sealed class Workspace : IDisposable
{
    // Stable, because more rules apply to stable packages, and unlike any that was released.
    private const string Version = "99.0.0";

    // Built as this program was built, because ServiceProcess looks there.
    private static readonly string Configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
    private static readonly string[] Packages = ["ServiceDefaults", "ServiceDefaults.Postgres", "tests/ResilienceTesting"];

    private readonly List<string> _projects = [];

    /// <summary>Where it is.</summary>
    public string Path { get; } = Directory.CreateTempSubdirectory("platform-packages-").FullName;

    private string Feed => System.IO.Path.Combine(Path, "feed");

    /// <summary>The second working tree of the repository that the packages are made from. It is gone afterwards.</summary>
    public string Sources => System.IO.Path.Combine(Path, "sources");

    /// <summary>Packs the three projects into the feed, from a working tree of their own: nothing that uses the packages can find their sources later.</summary>
    public async Task PackAsync(CancellationToken cancellationToken)
    {
        // A commit of what is in the working tree now; nothing if that is the same as HEAD.
        var changed = (await RunAsync("git", ["-C", RepositoryRoot.Path, "-c", "user.name=Tests", "-c", "user.email=tests@localhost", "stash", "create"], cancellationToken)).Trim();
        await RunAsync("git", ["-C", RepositoryRoot.Path, "worktree", "add", "--quiet", "--detach", Sources, changed.Length > 0 ? changed : "HEAD"], cancellationToken);
        try
        {
            await WriteSolutionAsync("Packages.slnx", Packages.Select(package => System.IO.Path.Combine(Sources, package, $"{System.IO.Path.GetFileName(package)}.csproj")), cancellationToken);
            await RunAsync("dotnet",
                [
                    "pack", "Packages.slnx", "-nologo", "-v:q", "--output", Feed, "--artifacts-path", System.IO.Path.Combine(Path, "artifacts"),
                    $"-p:Version={Version}", "-p:ContinuousIntegrationBuild=true", "-p:RunAnalyzers=false", "-p:UseSharedCompilation=false",
                ],
                cancellationToken);
        }
        finally
        {
            await RunAsync("git", ["-C", RepositoryRoot.Path, "worktree", "remove", "--force", Sources], CancellationToken.None);
            Directory.Delete(System.IO.Path.Combine(Path, "artifacts"), recursive: true);
        }

        // NuGet takes all that is on this machine already from there, and has a folder of its own for the three.
        var machine = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? System.IO.Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        await File.WriteAllTextAsync(System.IO.Path.Combine(Path, "nuget.config"), new XElement("configuration",
            new XElement("packageSources", Add("packages-under-test", Feed)),
            Directory.Exists(machine) ? new XElement("fallbackPackageFolders", Add("machine", machine)) : null).ToString(), cancellationToken);

        static XElement Add(string key, string value) => new("add", new XAttribute("key", key), new XAttribute("value", value));
    }

    /// <summary>The names and contents of what is in a package (<c>nupkg</c> or <c>snupkg</c>).</summary>
    public IReadOnlyDictionary<string, byte[]> Read(string package, string extension = "nupkg")
    {
        using var zip = ZipFile.OpenRead(System.IO.Path.Combine(Feed, $"{package}.{Version}.{extension}"));
        return zip.Entries.ToDictionary(entry => entry.FullName, entry =>
        {
            using var content = new MemoryStream();
            using var stream = entry.Open();
            stream.CopyTo(content);
            return content.ToArray();
        }, StringComparer.Ordinal);
    }

    /// <summary>Makes a project from one of the SDK's templates that consists of what the README of <paramref name="package"/> shows.</summary>
    public async Task CreateFromReadmeAsync(string template, string name, string package, CancellationToken cancellationToken)
    {
        await RunAsync("dotnet", ["new", template, "--output", name, "--no-restore"], cancellationToken);
        var readme = Encoding.UTF8.GetString(Read(package)["README.md"]);
        await File.WriteAllTextAsync(PathOf("Program.cs"), Block("csharp"), cancellationToken);
        var project = XDocument.Load(PathOf($"{name}.csproj"));
        project.Root!.Add(new XElement("ItemGroup", new XElement("PackageReference", new XAttribute("Include", package), new XAttribute("Version", Version))));
        if (readme.Contains("```sql", StringComparison.Ordinal))
        {
            Directory.CreateDirectory(PathOf("Database/Migrations"));
            await File.WriteAllTextAsync(PathOf("Database/Migrations/0001_orders.sql"), Block("sql"), cancellationToken);
            project.Root.Add(XElement.Parse(Block("xml")));
        }

        project.Save(PathOf($"{name}.csproj"));
        _projects.Add($"{name}/{name}.csproj");

        string PathOf(string file) => System.IO.Path.Combine(Path, name, file);
        string Block(string language) => Regex.Match(readme, $@"```{language}\n(?<code>.*?)```", RegexOptions.Singleline | RegexOptions.ExplicitCapture) is { Success: true } block
            ? block.Groups["code"].Value : throw new InvalidOperationException($"The README of {package} has no {language}.");
    }

    /// <summary>Builds all projects that were created.</summary>
    public async Task BuildAsync(CancellationToken cancellationToken)
    {
        await WriteSolutionAsync("All.slnx", _projects, cancellationToken);
        await RunAsync("dotnet", ["build", "All.slnx", "-nologo", "-v:q", "-c", Configuration, "-p:UseSharedCompilation=false"], cancellationToken);
    }

    /// <summary>The program that <paramref name="project"/> was built to.</summary>
    public string ProgramOf(string project) => System.IO.Path.Combine(Path, project, "bin", Configuration, "net10.0", $"{project}.dll");

    /// <inheritdoc />
    public void Dispose() => Directory.Delete(Path, recursive: true);

    private Task WriteSolutionAsync(string name, IEnumerable<string> projects, CancellationToken cancellationToken) => File.WriteAllTextAsync(
        System.IO.Path.Combine(Path, name),
        new XElement("Solution", projects.Select(project => new XElement("Project", new XAttribute("Path", project)))).ToString(), cancellationToken);

    private async Task<string> RunAsync(string program, string[] arguments, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = Path, UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        if (File.Exists(System.IO.Path.Combine(Path, "nuget.config")))
        {
            start.Environment["NUGET_PACKAGES"] = System.IO.Path.Combine(Path, "packages");
        }

        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
        var errors = process.StandardError.ReadToEndAsync(cancellationToken);
        await process.WaitForExitAsync(cancellationToken);
        process.ExitCode.ShouldBe(0, $"{program} {string.Join(' ', arguments)}:{Environment.NewLine}{await output}{await errors}");
        return await output;
    }
}
