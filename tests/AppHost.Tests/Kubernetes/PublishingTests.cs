using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Kubernetes;

public sealed class PublishingTests(PublishedManifests published)
{
    [Fact]
    public async Task Publishing_needs_no_input_is_repeatable_and_writes_nothing_outside_the_output_directory()
    {
        using var scratch = new DataDirectory();
        var home = Directory.CreateDirectory(Path.Combine(scratch.Path, "home")).FullName;
        var output = Path.Combine(scratch.Path, "out");

        var (code, error) = await RunAsync(output, home);

        error.ShouldBeEmpty();
        code.ShouldBe(0);
        Contents(output).ShouldBe(Contents(published.Path));
        // Aspire creates its directories there, but writes no files.
        Directory.EnumerateFiles(home, "*", SearchOption.AllDirectories).ShouldBeEmpty();
        Directory.EnumerateFileSystemEntries(scratch.Path).Order().ShouldBe([home, output]);

        // Publishing again over the previous output changes nothing.
        (await RunAsync(output, home)).Code.ShouldBe(0);
        Contents(output).ShouldBe(Contents(published.Path));
    }

    [Fact]
    public async Task A_directory_with_other_files_is_refused_in_one_sentence_and_left_unchanged()
    {
        using var scratch = new DataDirectory();
        var output = Directory.CreateDirectory(Path.Combine(scratch.Path, "out")).FullName;
        File.WriteAllText(Path.Combine(output, "mine"), "");

        var (code, error) = await RunAsync(output, scratch.Path);

        code.ShouldNotBe(0);
        error.ShouldBe($"{output} contains other files: choose a directory that does not exist, is empty, or was published to before.\n");
        Directory.GetFileSystemEntries(output).Length.ShouldBe(1);
    }

    [Fact]
    public void Manifests_refer_to_secrets_by_name_and_contain_none()
    {
        foreach (var (file, content) in Contents(published.Path))
            content.ShouldNotContain(PublishedManifests.SecretMarker, customMessage: file);
        PublishedManifests.Files(published.Path).ShouldNotContain(file => file.Object.Kind() == "Secret");
        Contents(published.Path)["base/backend/deployment.yaml"].ShouldContain("name: internal-token");
    }

    [Fact]
    public void Files_use_Unix_line_endings_and_do_not_depend_on_where_they_were_made()
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
    public void Rules_and_dashboards_are_copied_from_deploy()
    {
        var contents = Contents(published.Path);
        foreach (var rules in Directory.GetFiles(Path.Combine(RepositoryRoot.Path, "deploy/prometheus"), "*.rules.yml"))
        {
            var manifest = Yaml.Documents(contents[$"components/monitoring/{Path.GetFileName(rules).Replace(".rules.yml", ".rules.yaml")}"]).Single();
            JsonNode.DeepEquals(manifest["spec"], Yaml.Documents(File.ReadAllText(rules)).Single()).ShouldBeTrue(rules);
        }

        foreach (var dashboard in Directory.GetFiles(Path.Combine(RepositoryRoot.Path, "deploy/grafana/dashboards")))
            contents[$"components/monitoring/dashboards/{Path.GetFileName(dashboard)}"].ShouldBe(File.ReadAllText(dashboard));
        contents.Keys.Count(file => file.StartsWith("components/monitoring/dashboards/", StringComparison.Ordinal)).ShouldBe(3);
    }

    [Fact]
    public void Instructions_list_the_Secrets_to_create_without_values()
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
        var (code, log, error) = await Tool.RunAsync("dotnet",
            [Path.Combine(RepositoryRoot.Path, "AppHost/bin/Debug/net10.0/AppHost.dll"), "--operation", "publish", "--step", "publish", "--output-path", output],
            Path.Combine(RepositoryRoot.Path, "AppHost"),
            environment: [("HOME", home), ("Parameters__internal-token", PublishedManifests.SecretMarker)]);
        log.ShouldNotContain(PublishedManifests.SecretMarker);
        return (code, error);
    }
}
