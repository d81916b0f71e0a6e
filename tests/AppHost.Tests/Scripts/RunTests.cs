using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Scripts;

/// <summary>What <c>./run</c> says when it cannot start: one sentence, and an exit code that is not 0.</summary>
public sealed class RunTests : IDisposable
{
    private static readonly string[] Basics = ["bash", "sh", "env", "sed", "awk", "grep", "cat", "tr", "head", "tail", "dirname", "basename", "mkdir", "mktemp", "mv", "rm", "find", "sleep", "uname"];

    private readonly DataDirectory _clone = new();

    public RunTests()
    {
        // Only what ./run needs to come to its checks, on other ports than those of a platform that may be running here.
        foreach (var file in (string[])["run", "eng/setup.sh", "eng/tools", "global.json", "AppHost/Properties/launchSettings.json"])
        {
            var target = Path.Combine(_clone.Path, file);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(Path.Combine(RepositoryRoot.Path, file), target);
        }

        foreach (var fixedPort in (string[])["9000", "9001", "9003"])
        {
            Replace("run", fixedPort, FreePort.Next().ToString(System.Globalization.CultureInfo.InvariantCulture));
        }

        foreach (var fixedPort in (string[])["15888", "15889", "15890"])
        {
            Replace("AppHost/Properties/launchSettings.json", fixedPort, FreePort.Next().ToString(System.Globalization.CultureInfo.InvariantCulture));
        }
    }

    public void Dispose() => _clone.Dispose();

    [Fact]
    public async Task Without_the_SDK_it_says_which_and_where_to_get_it() =>
        await RefusesAsync(["npm", "node"], [], "the .NET SDK 10.0", "https://dot.net");

    [Fact]
    public async Task Without_npm_it_says_what_to_install() =>
        await RefusesAsync(["dotnet"], [], "npm is needed", "Node.js");

    [Fact]
    public async Task A_port_in_use_is_named()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        var port = ((IPEndPoint)other.LocalEndpoint).Port.ToString(System.Globalization.CultureInfo.InvariantCulture);
        File.WriteAllText(Path.Combine(_clone.Path, "AppHost/Properties/launchSettings.json"), $$"""{ "applicationUrl": "http://localhost:{{port}}" }""");

        await RefusesAsync(["dotnet", "npm", "node"], [], $"port {port} is in use");
    }

    [Fact]
    public async Task A_platform_that_is_running_already_is_named_with_its_addresses()
    {
        Directory.CreateDirectory(Path.Combine(_clone.Path, ".data"));
        var library = Path.Combine(_clone.Path, "AppHost.dll");
        File.WriteAllText(library, "sleep 60; :\n");
        using var other = Process.Start(new ProcessStartInfo("sh", [library]))!;
        try
        {
            File.WriteAllText(Path.Combine(_clone.Path, ".data/run.pid"), $"{other.Id}\n");
            await RefusesAsync(["dotnet", "npm", "node"], [], "running already", $"process {other.Id}");
        }
        finally
        {
            other.Kill(entireProcessTree: true);
        }
    }

    [Fact]
    public async Task A_container_without_a_container_engine_is_refused() =>
        await RefusesAsync(["dotnet", "npm", "node"], ["--database", "container"], "docker or podman");

    [Theory]
    [InlineData("--database", "oracle")]
    [InlineData("--verbose")]
    public async Task An_option_that_does_not_exist_is_refused(params string[] options) =>
        await RefusesAsync(["dotnet", "npm", "node"], options, options[^1]);

    private void Replace(string file, string text, string by)
    {
        var path = Path.Combine(_clone.Path, file);
        File.WriteAllText(path, File.ReadAllText(path).Replace(text, by, StringComparison.Ordinal));
    }

    private async Task RefusesAsync(string[] programs, string[] options, params string[] expected)
    {
        var path = Path.Combine(_clone.Path, "path");
        Directory.CreateDirectory(path);
        foreach (var program in Basics.Concat(programs))
        {
            if (Find(program) is { } target)
            {
                File.CreateSymbolicLink(Path.Combine(path, program), target);
            }
        }

        using var run = Process.Start(new ProcessStartInfo(Find("bash")!, [Path.Combine(_clone.Path, "run"), .. options])
        {
            UseShellExecute = false,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            Environment = { ["PATH"] = path },
        })!;
        var output = run.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var error = (await run.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken)).Trim();
        await run.WaitForExitAsync(TestContext.Current.CancellationToken);

        error.ShouldNotContain("\n", customMessage: $"{error} {await output}");
        error.ShouldSatisfyAllConditions([.. expected.Select(part => (Action)(() => error.ShouldContain(part)))]);
        run.ExitCode.ShouldNotBe(0);
    }

    private static string? Find(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(directory => Path.Combine(directory, program)).FirstOrDefault(File.Exists);
}
