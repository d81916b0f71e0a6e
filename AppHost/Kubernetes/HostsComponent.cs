using Aspire.Hosting;

namespace Platform.AppHost.Kubernetes;

/// <summary>
/// <c>components/hosts</c>: copies each service's public host from the overlay's ConfigMap <c>public-hosts</c> to its Ingress, its certificate and the
/// settings that contain it.
/// </summary>
internal static class HostsComponent
{
    public const string ConfigMap = "public-hosts";

    public static void Write(IDictionary<string, string> files, PublishedPlatform platform)
    {
        var services = platform.ServicesWithHost.ToList();
        if (services.Count == 0)
            return;

        files["components/hosts/kustomization.yaml"] = Manifest.Yaml(new
        {
            apiVersion = "kustomize.config.k8s.io/v1alpha1",
            kind = "Component",
            replacements = services.Select(service => new
            {
                source = new { kind = "ConfigMap", name = ConfigMap, fieldPath = $"data.{service.Name}" },
                targets = (object[])
                [
                    new { select = new { kind = "Ingress", name = service.Name }, fieldPaths = new[] { "spec.rules.0.host", "spec.tls.0.hosts.0" } },
                    .. service.Settings.Where(setting => setting.Value.Hosts.Any()).Select(setting => Replacement(service, setting)),
                ],
            }),
        });
    }

    private static object Replacement(PublishedService service, PublishedVariable setting)
    {
        var placeholder = new PublicHost(service.Name).Placeholder;
        foreach (var delimiter in (string[])["/", ":"])
        {
            var index = Array.IndexOf(setting.Value.Text.Split(delimiter), placeholder);
            if (index >= 0 && setting.Value.Hosts.Count() == 1)
            {
                return new
                {
                    select = new { kind = "ConfigMap", name = service.Name },
                    fieldPaths = new[] { $"data.{(setting.Name.Contains('.', StringComparison.Ordinal) ? $"[{setting.Name}]" : setting.Name)}" },
                    options = setting.Value.Text == placeholder ? null : new { delimiter, index },
                };
            }
        }

        throw new DistributedApplicationException(
            $"'{service.Name}' can't be published: Kustomize can't replace its public host in {setting.Name}; use the whole URL, or the host alone.");
    }
}
