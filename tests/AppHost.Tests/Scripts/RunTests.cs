using Platform.TestSupport;

namespace Platform.AppHost.Tests.Scripts;

/// <summary>What <c>./run</c> says when it cannot start: one sentence, and an exit code that is not 0.</summary>
public sealed class RunTests : IDisposable
{
    private static readonly string[] Basics = ["bash", "sh", "env", "sed", "awk", "grep", "cat", "tr", "head", "tail", "dirname", "basename", "mkdir", "mktemp", "mv", "rm", "find", "sleep", "uname"];

    private readonly DataDirectory _clone = new();

    public RunTests()
    {
        // Only what ./run needs to get to its checks.
        foreach (var file in (string[])["run", "eng/setup.sh", "global.json"])
        {
            var target = Path.Combine(_clone.Path, file);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(Path.Combine(RepositoryRoot.Path, file), target);
        }
    }

    public void Dispose() => _clone.Dispose();

    [Fact]
    public async Task Without_the_SDK_it_says_which_and_where_to_get_it() =>
        await RefusesAsync([], [], "the .NET SDK 10.0", "https://dot.net");

    [Theory]
    [InlineData("--port")]
    [InlineData("--database")]
    public async Task An_option_without_its_value_is_refused(string option) => await RefusesAsync(["dotnet"], [option], $"{option} needs a value");

    [Fact]
    public async Task An_option_that_does_not_exist_is_refused() => await RefusesAsync(["dotnet"], ["--verbose"], "unknown option '--verbose'");

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

        var (code, output, error) = await Tool.RunAsync(Find("bash")!, [Path.Combine(_clone.Path, "run"), .. options], environment: ("PATH", path));
        error = error.Trim();

        error.ShouldNotContain("\n", customMessage: $"{error} {output}");
        error.ShouldSatisfyAllConditions([.. expected.Select(part => (Action)(() => error.ShouldContain(part)))]);
        code.ShouldNotBe(0);
    }

    private static string? Find(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(directory => Path.Combine(directory, program)).FirstOrDefault(File.Exists);
}
