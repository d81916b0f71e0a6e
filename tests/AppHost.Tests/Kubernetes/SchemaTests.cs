using System.Text.Json.Nodes;

namespace Platform.AppHost.Tests.Kubernetes;

public sealed class SchemaTests(PublishedManifests published)
{
    // Kustomize refuses unknown fields itself; this check also works without kubectl.
    private static readonly string[] KustomizationFields =
        ["apiVersion", "kind", "namespace", "resources", "components", "images", "configMapGenerator", "patches", "replacements"];

    [Fact]
    public void Every_file_contains_only_objects_that_Kubernetes_accepts()
    {
        var files = PublishedManifests.Files(published.Path).ToList();

        files.SelectMany(file => Schema.Errors(file.Object).Select(error => $"{file.File}: {error}")).ShouldBeEmpty();
        files.Select(file => file.Object.Kind()).Distinct().Order().ShouldBe(
        [
            "Deployment", "HorizontalPodAutoscaler", "Ingress", "Namespace", "NetworkPolicy", "PodDisruptionBudget", "PrometheusRule", "Service", "ServiceAccount",
            "ServiceMonitor", "StatefulSet",
        ]);
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Every_object_has_the_fields_that_Kubernetes_requires_and_no_unknown_ones(string view) =>
        published.View(view).SelectMany(Schema.Errors).ShouldBeEmpty();

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void No_object_is_defined_twice(string view) =>
        published.View(view).Select(manifest => $"{manifest.Kind()} {manifest.Name()}").ShouldBeUnique();

    [Fact]
    public void Kustomizations_refer_to_existing_files_and_use_known_fields()
    {
        var kustomizations = Directory.GetFiles(published.Path, "kustomization.yaml", SearchOption.AllDirectories);
        kustomizations.Length.ShouldBe(1 + 3 + 3);
        foreach (var file in kustomizations)
        {
            var kustomization = Yaml.Documents(File.ReadAllText(file)).Single();
            kustomization.Select(field => field.Key).Except(KustomizationFields).ShouldBeEmpty(file);
            var named = kustomization["resources"].Items().Concat(kustomization["components"].Items()).Select(item => (string)item!)
                .Concat(kustomization["patches"].Items().Select(patch => (string?)patch["path"]).OfType<string>())
                .Concat(kustomization["configMapGenerator"].Items().SelectMany(generator => generator["files"].Items()).Select(item => (string)item!));
            named.Where(path => !Path.Exists(Path.Combine(Path.GetDirectoryName(file)!, path))).ShouldBeEmpty(file);
        }
    }

    [Theory]
    [InlineData("spec.replica: 1", "Deployment x.spec.replica does not exist")]
    [InlineData("spec.replicas: \"1\"", "Deployment x.spec.replicas must be a number")]
    [InlineData("spec.paused: on", null)]
    [InlineData("spec.template.spec.containers.0.env.0.value: 9000", "Deployment x.spec.template.spec.containers[0].env[0].value must be a string")]
    [InlineData("spec.template.spec.containers.0.env.0.value: on", "Deployment x.spec.template.spec.containers[0].env[0].value must be a string")]
    [InlineData("spec.template.spec.containers.0.env.0.value: 12:30", "Deployment x.spec.template.spec.containers[0].env[0].value must be a string")]
    [InlineData("spec.template.spec.containers.0.name:", "Deployment x.spec.template.spec.containers[0].name must be a string")]
    [InlineData("spec.template.spec.containers.0.livenessProbe: {httpGet: {path: /alive}}", "Deployment x.spec.template.spec.containers[0].livenessProbe.httpGet.port is missing")]
    [InlineData("metadata.labels: [a]", "Deployment x.metadata.labels must be an object")]
    [InlineData("apiVersion: apps/v2", "apps/v2/Deployment is unknown")]
    public void The_schema_check_finds_planted_errors(string change, string? error)
    {
        var manifest = Yaml.Documents("""
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: x}
            spec:
              selector: {matchLabels: {app: x}}
              template:
                metadata: {labels: {app: x}}
                spec: {containers: [{name: x, env: [{name: A, value: b}]}]}
            """).Single();
        Schema.Errors(manifest).ShouldBeEmpty();

        var (path, value) = (change[..change.IndexOf(':', StringComparison.Ordinal)].Split('.'), Yaml.Read(change[(change.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim() is { Length: > 0 } text ? text : "~").Single());
        JsonNode at = manifest;
        foreach (var segment in path[..^1])
            at = at is JsonArray array ? array[int.Parse(segment, System.Globalization.CultureInfo.InvariantCulture)]! : at[segment]!;
        at[path[^1]] = value;

        Schema.Errors(manifest).ShouldBe(error is null ? [] : [error]);
    }
}
