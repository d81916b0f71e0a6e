using Platform.TestSupport;

namespace Platform.AppHost.Tests.Scripts;

/// <summary>What <c>./publish</c> says when it is not used as it should be: one sentence, before anything is built.</summary>
public sealed class PublishTests : IDisposable
{
    private readonly DataDirectory _scratch = new();

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public async Task Without_a_directory_it_says_that_one_is_wanted() => await RefusesAsync([], "name the output directory");

    [Fact]
    public async Task Two_directories_are_refused() => await RefusesAsync(["one", "two"], "not both 'one' and 'two'");

    [Fact]
    public async Task An_option_that_does_not_exist_is_refused() => await RefusesAsync(["out", "--force"], "unknown option '--force'");

    [Fact]
    public async Task A_file_is_refused()
    {
        File.WriteAllText(Path.Combine(_scratch.Path, "file"), "");
        await RefusesAsync(["file"], "'file' is a file");
    }

    [Fact]
    public async Task A_directory_with_other_things_is_refused_and_stays_as_it_is()
    {
        Directory.CreateDirectory(Path.Combine(_scratch.Path, "theirs"));
        File.WriteAllText(Path.Combine(_scratch.Path, "theirs", "file"), "");
        await RefusesAsync(["theirs"], "'theirs' contains other files");
        Directory.GetFileSystemEntries(Path.Combine(_scratch.Path, "theirs")).Length.ShouldBe(1);
    }

    [Fact]
    public async Task Help_says_what_it_does()
    {
        var (code, output, error) = await RunAsync("--help");
        code.ShouldBe(0);
        output.ShouldStartWith("./publish <directory>");
        error.ShouldBeEmpty();
    }

    private async Task RefusesAsync(string[] arguments, string expected)
    {
        var (code, output, error) = await RunAsync(arguments);
        code.ShouldNotBe(0);
        output.ShouldBeEmpty();
        error.TrimEnd('\n').ShouldNotContain("\n");
        error.ShouldStartWith("./publish: ");
        error.ShouldContain(expected);
    }

    private Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments) =>
        Tool.RunAsync("bash", [Path.Combine(RepositoryRoot.Path, "publish"), .. arguments], _scratch.Path);
}
