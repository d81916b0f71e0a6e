namespace Platform.AppHost.Kubernetes;

/// <summary><c>base/</c>: all services, and the network policies between them.</summary>
internal static class BaseManifests
{
    public static void Write(IDictionary<string, string> files, PublishedPlatform platform)
    {
        var resources = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["network-policies.yaml"] = NetworkPolicies.OfNamespace(platform),
        };
        foreach (var connection in platform.Connections)
            resources[$"{connection.Key.Server}-external.yaml"] = Manifest.Yaml(NetworkPolicies.ToExternal(connection.Key.Server, connection.Key.Port, connection, platform));
        foreach (var service in platform.Services)
        {
            foreach (var (kind, manifest) in new ServiceManifests(service, platform).All())
                resources[$"{service.Name}/{kind}.yaml"] = Manifest.Yaml(manifest);
        }

        foreach (var (path, manifest) in resources)
            files[$"base/{path}"] = manifest;
        files["base/kustomization.yaml"] = Manifest.Yaml(new
        {
            apiVersion = "kustomize.config.k8s.io/v1beta1",
            kind = "Kustomization",
            resources = resources.Keys,
            configMapGenerator = platform.Services.Select(service => new
            {
                name = service.Name,
                literals = service.Settings.Select(setting => $"{setting.Name}={setting.Value.Text}"),
                options = new { labels = Conventions.Labels(service.Name, "service", platform.Version) },
            }),
        });
    }
}
