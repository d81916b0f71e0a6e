using Aspire.Hosting;

namespace Platform.AppHost.Kubernetes;

/// <summary>
/// <c>components/hosts</c>: takes the public host of each service from the ConfigMap <c>public-hosts</c> of the overlay, and sets it wherever it is
/// needed: Ingress, certificate, and the addresses that services give out.
/// </summary>
internal static class HostsComponent
{
    public const string ConfigMap = "public-hosts";

    public static void Write(IDictionary<string, string> files, PublishedPlatform platform)
    {
        if (platform.Services.All(service => service.External is null))
            return;

        files["components/hosts/kustomization.yaml"] = Manifest.Yaml(new
        {
            apiVersion = "kustomize.config.k8s.io/v1alpha1",
            kind = "Component",
            replacements = platform.Services.Where(service => service.External is not null).Select(service => new
            {
                source = new { kind = "ConfigMap", name = ConfigMap, fieldPath = $"data.{service.Name}" },
                targets = new object[]
                {
                    new
                    {
                        select = new { kind = "Ingress", name = service.Name },
                        fieldPaths = new[] { "spec.rules.0.host", "spec.tls.0.hosts.0" },
                    },
                }.Concat(service.Settings.Where(setting => setting.Value.Hosts.Any()).Select(setting => Replacement(service, setting))),
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
            $"'{service.Name}' can't be published: {setting.Name} holds its public host where Kustomize can't replace it; let it be the address, or the host alone.");
    }
}
