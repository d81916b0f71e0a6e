using System.Text.Json.Nodes;

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>Everything that a manifest refers to exists: an overlay applied to an empty cluster lacks only its Secrets.</summary>
public sealed class ReferenceTests(PublishedManifests published)
{
    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Every_selector_matches_the_pods_of_one_workload(string view)
    {
        var objects = published.View(view);
        foreach (var workload in objects.OfKind("Deployment", "StatefulSet"))
        {
            Matches(workload["spec"]!["selector"]!, objects).ShouldBe([workload.Name()]);
            workload["spec"]!["template"]!["spec"]!["topologySpreadConstraints"].Items().ShouldAllBe(spread => Matches(spread["labelSelector"]!, objects).Single() == workload.Name());
        }

        foreach (var budget in objects.OfKind("PodDisruptionBudget"))
            Matches(budget["spec"]!["selector"]!, objects).ShouldBe([budget.Name()]);
        foreach (var service in objects.OfKind("Service"))
            Matches(new JsonObject { ["matchLabels"] = service["spec"]!["selector"]!.DeepClone() }, objects).ShouldBe([service.Name()]);
        foreach (var selector in objects.OfKind("NetworkPolicy").SelectMany(PodSelectors))
            Matches(selector, objects).ShouldNotBeEmpty(selector.ToJsonString());
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Selectors_do_not_contain_the_version_label(string view)
    {
        var objects = published.View(view);
        objects.OfKind("Deployment").Select(deployment => (string?)deployment["metadata"]!["labels"]!["app.kubernetes.io/version"]).ShouldAllBe(version => version != null);
        objects.OfKind("Deployment", "StatefulSet", "PodDisruptionBudget", "Service").Select(manifest => manifest["spec"]!["selector"]!.ToJsonString())
            .ShouldAllBe(selector => !selector.Contains("version"));
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Every_port_name_refers_to_a_container_port(string view)
    {
        var objects = published.View(view);
        foreach (var workload in objects.OfKind("Deployment", "StatefulSet"))
        {
            var container = Container(workload);
            var ports = container["ports"].Items().Select(port => (string)port["name"]!).ToList();
            string[] probes = ["startupProbe", "livenessProbe", "readinessProbe"];
            probes.Select(probe => (string?)container[probe]!["httpGet"]?["port"]).OfType<string>().Except(ports).ShouldBeEmpty();
            var service = objects.OfKind("Service").Single(manifest => manifest.Name() == workload.Name());
            service["spec"]!["ports"].Items().Select(port => (string)port["targetPort"]!).Except(ports).ShouldBeEmpty();
        }

        foreach (var ingress in objects.OfKind("Ingress"))
        {
            var backend = ingress["spec"]!["rules"]![0]!["http"]!["paths"]![0]!["backend"]!["service"]!;
            var service = objects.OfKind("Service").Single(manifest => manifest.Name() == (string)backend["name"]!);
            service["spec"]!["ports"].Items().ShouldContain(port => (string)port["name"]! == (string)backend["port"]!["name"]!);
            ingress["spec"]!["tls"]![0]!["hosts"]![0]!.ToString().ShouldBe(ingress["spec"]!["rules"]![0]!["host"]!.ToString());
        }

        foreach (var (_, monitor) in PublishedManifests.Files(published.Path).Where(file => file.Object.Kind() == "ServiceMonitor"))
        {
            var service = objects.OfKind("Service").Single(manifest => monitor["spec"]!["selector"]!["matchLabels"]!.AsObject().All(label => (string?)manifest["metadata"]!["labels"]![label.Key] == (string)label.Value!));
            service["spec"]!["ports"].Items().ShouldContain(port => (string)port["name"]! == (string)monitor["spec"]!["endpoints"]![0]!["port"]!);
            // Prometheus takes the job name from this label, and the rules select by job.
            ((string)monitor["spec"]!["jobLabel"]!).ShouldBe("app.kubernetes.io/name");
            ((string)service["metadata"]!["labels"]!["app.kubernetes.io/name"]!).ShouldBe(service.Name());
        }
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Autoscaler_targets_service_accounts_and_volumes_exist(string view)
    {
        var objects = published.View(view);
        objects.OfKind("HorizontalPodAutoscaler").Select(autoscaler => (string)autoscaler["spec"]!["scaleTargetRef"]!["name"]!)
            .ShouldBe(objects.OfKind("Deployment").Select(Yaml.Name), ignoreOrder: true);
        foreach (var workload in objects.OfKind("Deployment", "StatefulSet"))
        {
            var pod = workload["spec"]!["template"]!["spec"]!;
            objects.OfKind("ServiceAccount").ShouldContain(account => account.Name() == (string)pod["serviceAccountName"]!);
            var volumes = pod["volumes"].Items().Select(volume => (string)volume["name"]!)
                .Concat(workload["spec"]!["volumeClaimTemplates"].Items().Select(Yaml.Name)).ToList();
            Container(workload)["volumeMounts"].Items().Select(mount => (string)mount["name"]!).ShouldBe(volumes, ignoreOrder: true);
        }

        foreach (var set in objects.OfKind("StatefulSet"))
            objects.OfKind("Service").ShouldContain(service => service.Name() == (string)set["spec"]!["serviceName"]!);
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void ConfigMaps_exist_and_Secrets_are_in_the_instructions(string view)
    {
        var objects = published.View(view);
        var configMaps = objects.OfKind("ConfigMap").Select(Yaml.Name).ToList();
        var instructions = File.ReadAllText(Path.Combine(published.Path, "README.md"));
        foreach (var workload in objects.OfKind("Deployment", "StatefulSet"))
        {
            var container = Container(workload);
            container["envFrom"].Items().Select(source => (string)source["configMapRef"]!["name"]!)
                .Concat(workload["spec"]!["template"]!["spec"]!["volumes"].Items().Select(volume => (string?)volume["configMap"]?["name"]).OfType<string>())
                .Except(configMaps).ShouldBeEmpty();
            foreach (var secret in container["env"].Items().Select(variable => variable["valueFrom"]?["secretKeyRef"]).OfType<JsonNode>())
                instructions.ShouldContain($"| `{secret["name"]}` | `{secret["key"]}` |");
        }
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void A_variable_that_contains_others_comes_after_them(string view)
    {
        var composed = 0;
        foreach (var workload in published.View(view).OfKind("Deployment", "StatefulSet"))
        {
            var before = new List<string>();
            foreach (var variable in Container(workload)["env"].Items())
            {
                (variable["value"] is null).ShouldNotBe(variable["valueFrom"] is null, variable.ToJsonString());
                foreach (System.Text.RegularExpressions.Match match in System.Text.RegularExpressions.Regex.Matches((string?)variable["value"] ?? "", @"(?<!\$)\$\(([^)]+)\)"))
                {
                    before.ShouldContain(match.Groups[1].Value);
                    composed++;
                }

                before.Add((string)variable["name"]!);
            }

            before.ShouldBeUnique();
        }

        composed.ShouldBe(view is "dev" or "base with postgres" ? 3 : 0);
    }

    private static JsonNode Container(JsonObject workload) => workload["spec"]!["template"]!["spec"]!["containers"].Items().Single();

    /// <summary>The selectors of a policy that select pods in its own namespace.</summary>
    private static IEnumerable<JsonNode> PodSelectors(JsonObject policy)
    {
        var spec = policy["spec"]!;
        var peers = spec["ingress"].Items().SelectMany(rule => rule["from"].Items()).Concat(spec["egress"].Items().SelectMany(rule => rule["to"].Items()));
        return peers.Where(peer => peer["namespaceSelector"] is null).Select(peer => peer["podSelector"]).OfType<JsonNode>().Prepend(spec["podSelector"]!);
    }

    internal static IEnumerable<string> Matches(JsonNode selector, IReadOnlyList<JsonObject> objects) =>
        from workload in objects.OfKind("Deployment", "StatefulSet")
        let labels = workload["spec"]!["template"]!["metadata"]!["labels"]!.AsObject()
        where (selector["matchLabels"] as JsonObject ?? []).All(label => (string?)labels[label.Key] == (string)label.Value!)
        where selector["matchExpressions"].Items().All(expression => (string)expression["operator"]! == "In" && expression["values"].Items().Any(value => (string)value! == (string?)labels[(string)expression["key"]!]))
        select workload.Name();
}
