using System.Text.Json.Nodes;
using Aspire.Hosting.ApplicationModel;

namespace Platform.AppHost.Tests.Kubernetes;

public sealed class NetworkPolicyTests(PublishedManifests published)
{
    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Both_ends_allow_exactly_the_references_of_the_app_model(string view)
    {
        var objects = published.View(view);
        var hasPostgres = objects.OfKind("StatefulSet").Any();
        var expected = ModelArrows(published.Model).Where(arrow => hasPostgres || !arrow.Contains("postgres")).Order().ToList();
        expected.Count.ShouldBe(hasPostgres ? 7 : 4);

        Arrows(objects, "egress", "to").Order().ShouldBe(expected);
        Arrows(objects, "ingress", "from").Order().ShouldBe(expected);
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Everything_else_is_denied_except_telemetry_DNS_Ingress_and_external_databases(string view)
    {
        var objects = published.View(view);
        var hasPostgres = objects.OfKind("StatefulSet").Any();
        var deny = objects.OfKind("NetworkPolicy").Single(policy => policy.Name() == "default-deny")["spec"]!;
        deny.ToJsonString().ShouldBe("""{"podSelector":{},"policyTypes":["Ingress","Egress"]}""");
        deny.AsObject().Count.ShouldBe(2);

        string[] services = ["backend", "store-deployer", "template-registry"];
        Foreign(objects, "ingress", "from").Order().ShouldBe(services.Select(service => $"monitoring:8080 -> {service}")
            .Concat([$"ingress-nginx:8080 -> backend", "ingress-nginx:8080 -> store-deployer"]).Order());
        var everywhere = hasPostgres ? [.. services, "postgres"] : services;
        Foreign(objects, "egress", "to").Order().ShouldBe(everywhere.Select(service => $"kube-system:53,53 -> {service}")
            .Concat(services.Select(service => $"monitoring:4317,4318 -> {service}"))
            .Concat(hasPostgres ? [] : services.SelectMany(service => (string[])[$"0.0.0.0/0:5432 -> {service}", $"::/0:5432 -> {service}"])).Order());
    }

    /// <summary>Expected connections, taken from the relationships in the app model. The manifests are made from its variables, so this is an independent source.</summary>
    internal static IEnumerable<string> ModelArrows(IReadOnlyList<IResource> model) =>
        (from resource in model.OfType<ProjectResource>()
         from reference in resource.Annotations.OfType<ResourceRelationshipAnnotation>()
         where reference.Type == "Reference" && reference.Resource != resource
         let target = reference.Resource is IResourceWithParent child ? child.Parent : reference.Resource
         where target is not ParameterResource
         select target is ProjectResource ? $"{resource.Name} -> {target.Name}:8080" : $"{resource.Name} -> {target.Name}:5432").Distinct();

    internal static IEnumerable<string> Arrows(IReadOnlyList<JsonObject> objects, string side, string peers) =>
        from rule in Rules(objects, side)
        from peer in rule.Rule[peers].Items()
        where peer["namespaceSelector"] is null && peer["podSelector"] is not null
        from other in ReferenceTests.Matches(peer["podSelector"]!, objects)
        from port in rule.Rule["ports"].Items()
        select side == "egress" ? $"{rule.Workload} -> {other}:{port["port"]}" : $"{other} -> {rule.Workload}:{port["port"]}";

    private static IEnumerable<string> Foreign(IReadOnlyList<JsonObject> objects, string side, string peers) =>
        from rule in Rules(objects, side)
        from peer in rule.Rule[peers].Items()
        where peer["namespaceSelector"] is not null || peer["podSelector"] is null
        let place = peer["ipBlock"]?["cidr"] ?? peer["namespaceSelector"]!["matchLabels"]!["kubernetes.io/metadata.name"]
        select $"{place}:{string.Join(',', rule.Rule["ports"].Items().Select(port => port["port"]!.ToString()))} -> {rule.Workload}";

    private static List<(string Workload, JsonNode Rule)> Rules(IReadOnlyList<JsonObject> objects, string side)
    {
        var rules = objects.OfKind("NetworkPolicy").SelectMany(
            policy => ReferenceTests.Matches(policy["spec"]!["podSelector"]!, objects).SelectMany(workload => policy["spec"]![side].Items().Select(rule => (Workload: workload, Rule: rule)))).ToList();
        // A rule without peers or ports allows all of them.
        rules.ShouldAllBe(rule => rule.Rule[side == "egress" ? "to" : "from"].Items().Any() && rule.Rule["ports"].Items().Any());
        return rules;
    }
}
