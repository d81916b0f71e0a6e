using System.Text.Json.Nodes;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Platform.TestSupport;

#pragma warning disable ASPIREPROBES001

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>A service added to <c>Program.cs</c> is published completely without any other change.</summary>
public sealed class FourthServiceTests : IAsyncLifetime
{
    private readonly DataDirectory _scratch = new();
    private IReadOnlyList<IResource> _model = [];

    private string Output => Path.Combine(_scratch.Path, "out");

    public async ValueTask InitializeAsync()
    {
        var project = Path.Combine(_scratch.Path, "PriceFeed", "PriceFeed.csproj");
        Directory.CreateDirectory(Path.GetDirectoryName(project)!);
        File.WriteAllText(project, "<Project Sdk=\"Microsoft.NET.Sdk.Web\" />");

        _model = await PublishedManifests.PublishAsync(Output, builder =>
        {
            var backend = builder.CreateResourceBuilder(builder.Resources.OfType<ProjectResource>().Single(resource => resource.Name == "backend"));
            var database = builder.CreateResourceBuilder((IResourceWithConnectionString)builder.Resources.Single(resource => resource.Name == "backend-db"));
            var key = builder.AddParameter("feed-key", secret: true);
            var feed = builder.AddProject("price-feed", project)
                .WithHttpEndpoint().WithExternalHttpEndpoints()
                .WithReference(backend).WithReference(database)
                .WithReplicas(3)
                .WithHttpProbe(ProbeType.Startup, "/warm", initialDelaySeconds: 1, failureThreshold: 60)
                .WithArgs("--cheap", "$HOME")
                .WithEnvironment("Currency", "on")
                .WithEnvironment("Regions", builder.AddParameter("regions", "eu,us"))
                .WithEnvironment("FeedKey", key)
                .WithEnvironment("FeedUrl", $"https://feed.example/?key={key}&cost=$5")
                .WithEnvironment("BackendHost", backend.GetEndpoint("http").Property(EndpointProperty.HostAndPort));
            feed.WithEnvironment("PublicFeed", $"{feed.GetEndpoint("http")}/feed");
        }, "--Parameters:feed-key", PublishedManifests.SecretMarker);
    }

    public ValueTask DisposeAsync()
    {
        _scratch.Dispose();
        return ValueTask.CompletedTask;
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void It_gets_all_manifests(string view)
    {
        var objects = PublishedManifests.Objects(Output, view);
        objects.SelectMany(Schema.Errors).ShouldBeEmpty();

        objects.Where(manifest => manifest.Name() == "price-feed" || (manifest.Kind() == "ConfigMap" && manifest.Name().StartsWith("price-feed-", StringComparison.Ordinal))).Select(Yaml.Kind).Except(["ServiceMonitor"]).Order()
            .ShouldBe(["ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]);
        File.Exists(Path.Combine(Output, "components/monitoring/price-feed.yaml")).ShouldBeTrue();
        File.ReadAllText(Path.Combine(Output, "README.md")).ShouldContain("| `feed-key` | `value` | the parameter feed-key | dev, staging, production |");
        objects.OfKind("HorizontalPodAutoscaler").Single(manifest => manifest.Name() == "price-feed")["spec"]!["minReplicas"]!.ToString().ShouldBe(view == "dev" ? "1" : "3");
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Network_policies_allow_its_calls_at_both_ends(string view)
    {
        var objects = PublishedManifests.Objects(Output, view);
        var hasPostgres = objects.OfKind("StatefulSet").Any();
        var expected = NetworkPolicyTests.ModelArrows(_model).Where(arrow => hasPostgres || !arrow.Contains("postgres")).Order().ToList();
        expected.ShouldContain("price-feed -> backend:8080");

        NetworkPolicyTests.Arrows(objects, "egress", "to").Order().ShouldBe(expected);
        NetworkPolicyTests.Arrows(objects, "ingress", "from").Order().ShouldBe(expected);
    }

    [Fact]
    public void Its_container_matches_the_app_model()
    {
        var objects = PublishedManifests.Objects(Output, "base with postgres");
        var container = objects.OfKind("Deployment").Single(manifest => manifest.Name() == "price-feed")["spec"]!["template"]!["spec"]!["containers"]![0]!;

        ((string)container["image"]!).ShouldStartWith("price-feed:");
        container["args"]!.ToJsonString().ShouldBe("""["--cheap","$$HOME"]""");
        container["startupProbe"]!["httpGet"]!["path"]!.ToString().ShouldBe("/warm");
        container["startupProbe"]!["failureThreshold"]!.ToString().ShouldBe("60");
        container["readinessProbe"]!["httpGet"]!["path"]!.ToString().ShouldBe("/ready");

        var settings = objects.OfKind("ConfigMap").Single(manifest => manifest.Name() == "price-feed")["data"]!;
        ((string)settings["Currency"]!).ShouldBe("on");
        ((string)settings["Regions"]!).ShouldBe("eu,us");
        ((string)settings["BackendHost"]!).ShouldBe("backend:80");
        ((string)settings["PublicFeed"]!).ShouldBe("https://price-feed.example.com/feed");

        var variables = container["env"].Items().ToDictionary(variable => (string)variable["name"]!);
        variables["FeedKey"].ToJsonString().ShouldBe("""{"name":"FeedKey","valueFrom":{"secretKeyRef":{"name":"feed-key","key":"value"}}}""");
        variables["FEED_KEY"]["valueFrom"]!["secretKeyRef"]!["name"]!.ToString().ShouldBe("feed-key");
        variables["FeedUrl"]["value"]!.ToString().ShouldBe("https://feed.example/?key=$(FEED_KEY)&cost=$$5");
        variables["ConnectionStrings__backend-db"]["value"]!.ToString().ShouldContain("Password=$(POSTGRES_PASSWORD)");
        variables.Keys.ToList().IndexOf("FEED_KEY").ShouldBeLessThan(variables.Keys.ToList().IndexOf("FeedUrl"));
    }

    [Fact]
    public void Its_secrets_are_not_published() =>
        Directory.GetFiles(Output, "*", SearchOption.AllDirectories).ShouldAllBe(file => !File.ReadAllText(file).Contains(PublishedManifests.SecretMarker));
}
