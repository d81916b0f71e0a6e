namespace Platform.AppHost.Kubernetes;

/// <summary>
/// <c>components/monitoring</c>: the rules and dashboards from <c>deploy/</c>, and each service as a scrape target, for the Prometheus operator and a Grafana
/// that loads dashboards from ConfigMaps.
/// </summary>
internal static class MonitoringComponent
{
    private const string Directory = "components/monitoring";

    public static void Write(IDictionary<string, string> files, PublishedPlatform platform, string deploy)
    {
        var resources = new SortedSet<string>(StringComparer.Ordinal);

        foreach (var path in Files(Path.Combine(deploy, "prometheus"), "*.rules.yml"))
        {
            var name = Path.GetFileName(path)[..^".rules.yml".Length];
            resources.Add($"{name}.rules.yaml");
            // The rules are copied as text rather than parsed, so that their comments stay.
            files[$"{Directory}/{name}.rules.yaml"] = Manifest.Yaml(new
            {
                apiVersion = "monitoring.coreos.com/v1",
                kind = "PrometheusRule",
                metadata = new { name = $"{Conventions.Platform}-{name}", labels = Labels(platform) },
            }) + "spec:\n" + Manifest.Indented(File.ReadAllText(path), 2);
        }

        foreach (var service in platform.Services.Where(service => service.Http is not null))
        {
            resources.Add($"{service.Name}.yaml");
            files[$"{Directory}/{service.Name}.yaml"] = Manifest.Yaml(new
            {
                apiVersion = "monitoring.coreos.com/v1",
                kind = "ServiceMonitor",
                metadata = new { name = service.Name, labels = Labels(platform) },
                spec = new
                {
                    // Rules and dashboards identify a service by its job, which must be the plain name.
                    jobLabel = "app.kubernetes.io/name",
                    selector = Conventions.Selected(service.Name),
                    endpoints = new[] { new { port = service.Http!.Name, path = "/metrics", interval = "15s" } },
                },
            });
        }

        var dashboards = Files(Path.Combine(deploy, "grafana/dashboards"), "*.json");
        foreach (var path in dashboards)
            files[$"{Directory}/dashboards/{Path.GetFileName(path)}"] = File.ReadAllText(path);

        files[$"{Directory}/kustomization.yaml"] = Manifest.Yaml(new
        {
            apiVersion = "kustomize.config.k8s.io/v1alpha1",
            kind = "Component",
            resources,
            configMapGenerator = dashboards.Select(path => new
            {
                name = $"{Conventions.Platform}-dashboard-{Path.GetFileNameWithoutExtension(path)}",
                files = new[] { $"dashboards/{Path.GetFileName(path)}" },
                options = new { disableNameSuffixHash = true, labels = new SortedDictionary<string, string>(Labels(platform), StringComparer.Ordinal) { ["grafana_dashboard"] = "1" } },
            }),
        });
    }

    private static SortedDictionary<string, string> Labels(PublishedPlatform platform) => Conventions.Labels(Conventions.Platform, "monitoring", platform.Version);

    private static string[] Files(string directory, string pattern) => [.. System.IO.Directory.GetFiles(directory, pattern).Order(StringComparer.Ordinal)];
}
