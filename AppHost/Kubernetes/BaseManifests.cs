namespace Platform.AppHost.Kubernetes;

/// <summary><c>base/</c>: all services, and the network policies between them.</summary>
internal static class BaseManifests
{
    public static void Write(IDictionary<string, string> files, PublishedPlatform platform)
    {
        files["base/network-policies.yaml"] = NetworkPolicies.OfNamespace(platform);
        foreach (var connection in platform.Connections)
            files[$"base/{connection.Key.Server}-external.yaml"] = Manifest.Yaml(NetworkPolicies.ToExternal(connection.Key.Server, connection.Key.Port, connection, platform));
        foreach (var service in platform.Services)
        {
            foreach (var (kind, manifest) in new ServiceManifests(service, platform).All())
                files[$"base/{service.Name}/{kind}.yaml"] = Manifest.Yaml(manifest);
        }

        files["base/kustomization.yaml"] = Manifest.Yaml(new
        {
            apiVersion = "kustomize.config.k8s.io/v1beta1",
            kind = "Kustomization",
            resources = files.Keys.Where(file => file.StartsWith("base/", StringComparison.Ordinal)).Select(file => file["base/".Length..]).ToList(),
            configMapGenerator = platform.Services.Select(service => new
            {
                name = service.Name,
                literals = service.Settings.Select(setting => $"{setting.Name}={setting.Value.Text}"),
                options = new { labels = Conventions.Labels(service.Name, "service", platform.Version) },
            }),
        });
    }
}
