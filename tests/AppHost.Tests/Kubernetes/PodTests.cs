using System.Text.Json.Nodes;

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>Resources, probes, shutdown and rights of the pods.</summary>
public sealed class PodTests(PublishedManifests published)
{
    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Pods_run_with_the_least_privileges(string view)
    {
        foreach (var (pod, container) in Pods(view))
        {
            pod["automountServiceAccountToken"]!.GetValue<bool>().ShouldBeFalse();
            pod["enableServiceLinks"]!.GetValue<bool>().ShouldBeFalse();
            pod["securityContext"]!["runAsNonRoot"]!.GetValue<bool>().ShouldBeTrue();
            pod["securityContext"]!["runAsUser"]!.GetValue<double>().ShouldBeGreaterThan(0);
            ((string)pod["securityContext"]!["seccompProfile"]!["type"]!).ShouldBe("RuntimeDefault");
            var security = container["securityContext"]!;
            security["allowPrivilegeEscalation"]!.GetValue<bool>().ShouldBeFalse();
            security["privileged"]!.GetValue<bool>().ShouldBeFalse();
            security["readOnlyRootFilesystem"]!.GetValue<bool>().ShouldBeTrue();
            security["capabilities"]!["drop"]!.ToJsonString().ShouldBe("""["ALL"]""");
            container["volumeMounts"].Items().Select(mount => (string)mount["mountPath"]!).ShouldContain("/tmp");
        }

        published.View(view).OfKind("ServiceAccount").ShouldAllBe(account => !account["automountServiceAccountToken"]!.GetValue<bool>());
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Containers_have_requests_limits_and_a_versioned_image(string view)
    {
        foreach (var (_, container) in Pods(view))
        {
            foreach (var amount in (string[])["requests", "limits"])
            {
                container["resources"]![amount]!["cpu"].ShouldNotBeNull();
                container["resources"]![amount]!["memory"].ShouldNotBeNull();
            }

            ((string)container["image"]!).ShouldMatch(@":[0-9]+\.[0-9]+(\.[0-9]+)?$");
        }
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Probes_do_not_depend_on_other_services(string view)
    {
        foreach (var deployment in published.View(view).OfKind("Deployment"))
        {
            var container = Container(deployment);
            ((string)container["startupProbe"]!["httpGet"]!["path"]!).ShouldBe("/alive");
            ((string)container["livenessProbe"]!["httpGet"]!["path"]!).ShouldBe("/alive");
            ((string)container["readinessProbe"]!["httpGet"]!["path"]!).ShouldBe("/ready");
            container.ToJsonString().ShouldNotContain("/health");
        }
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void A_terminating_pod_has_time_to_be_removed_from_load_balancing_and_to_drain(string view)
    {
        foreach (var deployment in published.View(view).OfKind("Deployment"))
        {
            var pod = deployment["spec"]!["template"]!["spec"]!;
            var preStop = pod["containers"]![0]!["lifecycle"]!["preStop"]!["sleep"]!["seconds"]!.GetValue<double>();
            preStop.ShouldBeGreaterThanOrEqualTo(5);
            pod["terminationGracePeriodSeconds"]!.GetValue<double>().ShouldBeGreaterThan(preStop + 4);
        }
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Updates_and_node_drains_do_not_reduce_capacity(string view)
    {
        var objects = published.View(view);
        foreach (var deployment in objects.OfKind("Deployment"))
        {
            deployment["spec"]!["strategy"]!["rollingUpdate"]!["maxUnavailable"]!.ToString().ShouldBe("0");
            deployment["spec"]!["replicas"].ShouldBeNull();
            deployment["spec"]!["template"]!["spec"]!["topologySpreadConstraints"].Items().Count().ShouldBe(2);
            objects.OfKind("PodDisruptionBudget").Single(budget => budget.Name() == deployment.Name())["spec"]!["maxUnavailable"]!.ToString().ShouldBe("1");
            var scale = objects.OfKind("HorizontalPodAutoscaler").Single(autoscaler => autoscaler.Name() == deployment.Name())["spec"]!;
            var (min, max) = view switch { "dev" => (1, 2), "staging" => (2, 4), _ => (2, 10) };
            scale["minReplicas"]!.ToString().ShouldBe($"{min}");
            scale["maxReplicas"]!.ToString().ShouldBe($"{max}");
        }
    }

    [Theory, MemberData(nameof(PublishedManifests.Views), MemberType = typeof(PublishedManifests))]
    public void Settings_come_from_the_app_model_without_development_ones(string view)
    {
        var objects = published.View(view);
        var settings = objects.OfKind("ConfigMap").ToDictionary(map => Container(objects.OfKind("Deployment", "StatefulSet").FirstOrDefault(workload => UsesConfigMap(workload, map.Name())))?["name"]?.ToString() ?? map.Name(), map => map["data"]!);
        ((string)settings["backend"]["services__template-registry__http__0"]!).ShouldBe("http://template-registry");
        ((string)settings["backend"]["services__store-deployer__http__0"]!).ShouldBe("http://store-deployer");
        ((string)settings["store-deployer"]["services__backend__http__0"]!).ShouldBe("http://backend");
        ((string)settings["store-deployer"]["Stores__CacheDirectory"]!).ShouldBe("/var/cache/store-cache");
        var host = (string)objects.OfKind("Ingress").Single(ingress => ingress.Name() == "store-deployer")["spec"]!["rules"]![0]!["host"]!;
        ((string)settings["store-deployer"]["Stores__PublicUrl"]!).ShouldBe($"https://{host}");
        settings.Values.Select(data => data.ToJsonString()).ShouldAllBe(data => !data.Contains("Development") && !data.Contains("localhost"));
        foreach (var service in (string[])["backend", "store-deployer", "template-registry"])
        {
            ((string)settings[service]["HTTP_PORTS"]!).ShouldBe("8080");
            ((string)settings[service]["OTEL_SERVICE_NAME"]!).ShouldBe(service);
        }

        if (!view.StartsWith("base", StringComparison.Ordinal))
        {
            ((string)settings["backend"]["TEMPLATE_REGISTRY_URL"]!).ShouldBe("http://template-registry");
            ((string)settings["backend"]["STORE_DEPLOYER_URL"]!).ShouldBe("http://store-deployer");
            ((string)settings["backend"]["OTEL_EXPORTER_OTLP_ENDPOINT"]!).ShouldBe("http://otel-collector.monitoring:4317");
            ((string)settings["backend"]["Database__MaxPoolSize"]!).ShouldBe(view switch { "dev" => "7", "staging" => "10", _ => "12" });
            host.ShouldBe($"store-deployer.{view}.example.com");
            objects.OfKind("ConfigMap").ShouldNotContain(map => map.Name().StartsWith("public-hosts", StringComparison.Ordinal));
            objects.ShouldAllBe(manifest => manifest.Kind() == "Namespace" ? manifest.Name() == $"platform-{view}" : (string)manifest["metadata"]!["namespace"]! == $"platform-{view}");
        }
    }

    private static bool UsesConfigMap(JsonObject workload, string name) =>
        Container(workload)!["envFrom"].Items().Any(source => (string)source["configMapRef"]!["name"]! == name);

    private static JsonNode Container(JsonObject? workload) => workload?["spec"]!["template"]!["spec"]!["containers"].Items().Single()!;

    private IEnumerable<(JsonNode Pod, JsonNode Container)> Pods(string view) => published.View(view).OfKind("Deployment", "StatefulSet")
        .Select(workload => workload["spec"]!["template"]!["spec"]!).Select(pod => (pod, pod["containers"].Items().Single()));
}
