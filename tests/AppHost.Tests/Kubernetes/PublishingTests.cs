using System.Diagnostics;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Kubernetes;

public sealed class PublishingTests(PublishedManifests published)
{
    [Fact]
    public async Task The_program_itself_writes_the_same_asks_for_nothing_and_leaves_nothing_else_behind()
    {
        using var scratch = new DataDirectory();
        var home = Directory.CreateDirectory(Path.Combine(scratch.Path, "home")).FullName;
        var output = Path.Combine(scratch.Path, "out");

        var (code, error) = await RunAsync(output, home);

        error.ShouldBeEmpty();
        code.ShouldBe(0);
        Contents(output).ShouldBe(Contents(published.Path));
        // Aspire makes its directories there, and has nothing to put into them
        Directory.EnumerateFiles(home, "*", SearchOption.AllDirectories).ShouldBeEmpty();
        Directory.EnumerateFileSystemEntries(scratch.Path).Order().ShouldBe([home, output]);

        // again, over the former output
        (await RunAsync(output, home)).Code.ShouldBe(0);
        Contents(output).ShouldBe(Contents(published.Path));
    }

    [Fact]
    public async Task What_is_not_its_own_is_an_error_of_one_sentence_and_stays()
    {
        using var scratch = new DataDirectory();
        var output = Directory.CreateDirectory(Path.Combine(scratch.Path, "out")).FullName;
        File.WriteAllText(Path.Combine(output, "mine"), "");

        var (code, error) = await RunAsync(output, scratch.Path);

        code.ShouldNotBe(0);
        error.ShouldBe($"{output} holds other things: name a directory that does not exist, is empty, or was published to before.\n");
        Directory.GetFileSystemEntries(output).Length.ShouldBe(1);
    }

    [Fact]
    public void Secrets_are_named_and_never_written()
    {
        foreach (var (file, content) in Contents(published.Path))
            content.ShouldNotContain(PublishedManifests.SecretMarker, customMessage: file);
        PublishedManifests.Files(published.Path).ShouldNotContain(file => file.Object.Kind() == "Secret");
        Contents(published.Path)["base/backend/deployment.yaml"].ShouldContain("name: internal-token");
    }

    [Fact]
    public void Lines_end_as_everywhere_and_nothing_tells_when_or_where_it_was_made()
    {
        foreach (var (file, content) in Contents(published.Path))
        {
            content.ShouldNotContain("\r", customMessage: file);
            content.ShouldEndWith("\n", customMessage: file);
            content.ShouldNotContain(RepositoryRoot.Path, customMessage: file);
            content.ShouldNotContain(Environment.MachineName, customMessage: file);
        }
    }

    [Fact]
    public void Rules_and_dashboards_are_those_of_deploy()
    {
        var contents = Contents(published.Path);
        foreach (var rules in Directory.GetFiles(Path.Combine(RepositoryRoot.Path, "deploy/prometheus"), "*.rules.yml"))
        {
            var manifest = Yaml.Documents(contents[$"components/monitoring/{Path.GetFileName(rules).Replace(".rules.yml", ".rules.yaml")}"]).Single();
            System.Text.Json.Nodes.JsonNode.DeepEquals(manifest["spec"], Yaml.Documents(File.ReadAllText(rules)).Single()).ShouldBeTrue(rules);
        }

        foreach (var dashboard in Directory.GetFiles(Path.Combine(RepositoryRoot.Path, "deploy/grafana/dashboards")))
            contents[$"components/monitoring/dashboards/{Path.GetFileName(dashboard)}"].ShouldBe(File.ReadAllText(dashboard));
        contents.Keys.Count(file => file.StartsWith("components/monitoring/dashboards/", StringComparison.Ordinal)).ShouldBe(3);
    }

    [Fact]
    public void Instructions_say_which_Secrets_must_exist_and_show_no_value()
    {
        var instructions = Contents(published.Path)["README.md"];
        instructions.ShouldContain("| `internal-token` | `value` | the parameter internal-token | dev, staging, production |");
        instructions.ShouldContain("| `postgres-password` | `value` | the parameter postgres-password | dev |");
        instructions.ShouldContain("| `backend-db` | `connection-string` | the connection string of backend-db | staging, production |");
        instructions.ShouldContain("openssl rand -hex 32 | tr -d '\\n' | kubectl -n platform-dev create secret generic postgres-password --from-file=value=/dev/stdin");
        instructions.ShouldNotContain("--from-literal");
    }

    private static SortedDictionary<string, string> Contents(string directory) => new(
        Directory.GetFiles(directory, "*", SearchOption.AllDirectories).ToDictionary(file => Path.GetRelativePath(directory, file), File.ReadAllText), StringComparer.Ordinal);

    private static async Task<(int Code, string Error)> RunAsync(string output, string home)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet",
            [Path.Combine(RepositoryRoot.Path, "AppHost/bin/Debug/net10.0/AppHost.dll"), "--operation", "publish", "--step", "publish", "--output-path", output])
        {
            WorkingDirectory = Path.Combine(RepositoryRoot.Path, "AppHost"),
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["HOME"] = home, ["Parameters__internal-token"] = PublishedManifests.SecretMarker },
        })!;
        process.StandardInput.Close();
        var log = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        (await log).ShouldNotContain(PublishedManifests.SecretMarker);
        return (process.ExitCode, error);
    }
}
