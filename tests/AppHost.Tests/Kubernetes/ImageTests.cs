using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>The manifests use the images that the SDK pushes.</summary>
public sealed class ImageTests(PublishedManifests published)
{
    [Theory]
    [InlineData("Backend", "backend", "noble-chiseled")]
    // with ICU, for locales and for file names
    [InlineData("StoreDeployer", "store-deployer", "noble-chiseled-extra")]
    [InlineData("TemplateRegistry", "template-registry", "noble-chiseled-extra")]
    public async Task Manifests_use_name_tag_and_base_image_of_the_project(string project, string service, string family)
    {
        var properties = await EvaluateAsync(project);

        ((string)properties["ContainerBaseImage"]!).ShouldBe($"mcr.microsoft.com/dotnet/aspnet:10.0-{family}");
        var image = $"{properties["ContainerRepository"]}:{properties["ContainerImageTag"]}";
        image.ShouldBe($"{service}:{properties["Version"]}");
        var deployment = published.View("base").OfKind("Deployment").Single(manifest => manifest.Name() == service);
        ((string)deployment["spec"]!["template"]!["spec"]!["containers"]![0]!["image"]!).ShouldBe(image);
    }

    private static async Task<JsonNode> EvaluateAsync(string project)
    {
        var (code, output, error) = await Tool.RunAsync("dotnet",
        [
            "msbuild", Path.Combine(RepositoryRoot.Path, project, $"{project}.csproj"), "-nodeReuse:false", "-target:ComputeContainerConfig",
            "-getProperty:ContainerRepository", "-getProperty:ContainerImageTag", "-getProperty:ContainerBaseImage", "-getProperty:Version",
        ]);
        code.ShouldBe(0, output + error);
        return JsonNode.Parse(output)!["Properties"]!;
    }
}
