using System.Diagnostics;
using System.Text.Json;
using Platform.TestSupport;

namespace Platform.Browser.Tests;

/// <summary>Runs html-validate, an npm package that is pinned in package-lock.json, over a set of pages.</summary>
internal sealed class HtmlValidator
{
    private static readonly string Project = Path.Combine(RepositoryRoot.Path, "tests", "Browser.Tests");
    private static readonly string Tool = Path.Combine(RepositoryRoot.Path, ".tools", "html-validate");
    private static readonly SemaphoreSlim Installation = new(1);

    private readonly Dictionary<string, string> _pages = [];

    public void Add(string name, string html) => _pages[name] = html;

    /// <summary>What is wrong with the pages, one line for each error.</summary>
    public async Task<IReadOnlyList<string>> ValidateAsync()
    {
        await InstallAsync();
        var folder = Directory.CreateTempSubdirectory("platform-html-").FullName;
        try
        {
            var files = new Dictionary<string, string>();
            foreach (var (i, (name, html)) in _pages.Index())
            {
                var file = Path.Combine(folder, $"{i}.html");
                files[file] = name;
                await File.WriteAllTextAsync(file, html);
            }

            var (_, output) = await RunAsync(
                "node", [Path.Combine(Tool, "node_modules", "html-validate", "bin", "html-validate.mjs"), "--config", Path.Combine(Tool, "html-validate.config.mjs"), "--formatter", "json", .. files.Keys]);
            using var report = JsonDocument.Parse(output);
            report.RootElement.ValueKind.ShouldBe(JsonValueKind.Array, output);
            return
            [
                .. from file in report.RootElement.EnumerateArray()
                   from message in file.GetProperty("messages").EnumerateArray()
                   select $"{files[file.GetProperty("filePath").GetString()!]}: html-validate {message.GetProperty("ruleId").GetString()}: {message.GetProperty("message").GetString()} "
                       + $"(line {message.GetProperty("line").GetInt32()}, {(message.TryGetProperty("selector", out var selector) ? selector.GetString() : null)})",
            ];
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task InstallAsync()
    {
        await Installation.WaitAsync();
        try
        {
            Directory.CreateDirectory(Tool);
            File.Copy(Path.Combine(Project, "html-validate.config.mjs"), Path.Combine(Tool, "html-validate.config.mjs"), overwrite: true);
            var wanted = await File.ReadAllTextAsync(Path.Combine(Project, "package-lock.json"));
            var installed = Path.Combine(Tool, ".installed");
            if (File.Exists(installed) && await File.ReadAllTextAsync(installed) == wanted)
                return;

            foreach (var file in (string[])["package.json", "package-lock.json"])
                File.Copy(Path.Combine(Project, file), Path.Combine(Tool, file), overwrite: true);
            var (exitCode, output) = await RunAsync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], Tool);
            exitCode.ShouldBe(0, output);
            await File.WriteAllTextAsync(installed, wanted);
        }
        finally
        {
            Installation.Release();
        }
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(string program, IEnumerable<string> arguments, string? folder = null)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder ?? "" })!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output.Length > 0 ? output : await errors);
    }
}
