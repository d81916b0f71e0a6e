using System.Diagnostics;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>The images that the manifests name are those that the SDK would push.</summary>
public sealed class ImageTests(PublishedManifests published)
{
    [Theory]
    [InlineData("Backend", "backend")]
    [InlineData("StoreDeployer", "store-deployer")]
    [InlineData("TemplateRegistry", "template-registry")]
    public async Task Name_tag_and_base_are_those_of_the_project(string project, string service)
    {
        var properties = await EvaluateAsync(project);

        ((string)properties["ContainerBaseImage"]!).ShouldBe("mcr.microsoft.com/dotnet/aspnet:10.0-noble-chiseled");
        var image = $"{properties["ContainerRepository"]}:{properties["ContainerImageTag"]}";
        image.ShouldBe($"{service}:{properties["Version"]}");
        var deployment = published.View("base").OfKind("Deployment").Single(manifest => manifest.Name() == service);
        ((string)deployment["spec"]!["template"]!["spec"]!["containers"]![0]!["image"]!).ShouldBe(image);
    }

    private static async Task<JsonNode> EvaluateAsync(string project)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet",
            [
                "msbuild", Path.Combine(RepositoryRoot.Path, project, $"{project}.csproj"), "-nodeReuse:false", "-target:ComputeContainerConfig",
                "-getProperty:ContainerRepository", "-getProperty:ContainerImageTag", "-getProperty:ContainerBaseImage", "-getProperty:Version",
            ])
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        process.ExitCode.ShouldBe(0, output + await error);
        return JsonNode.Parse(output)!["Properties"]!;
    }
}
