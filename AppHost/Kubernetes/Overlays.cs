using System.Globalization;
using System.Text;

namespace Platform.AppHost.Kubernetes;

/// <summary>One of <c>overlays/</c>.</summary>
/// <param name="Replicas">Fewest and most pods of a service.</param>
/// <param name="DatabaseConnections">Connections that the database server is taken to have.</param>
/// <param name="HasDatabase">Whether the databases run in the cluster too.</param>
internal sealed record Overlay(string Name, (int Min, int Max) Replicas, int DatabaseConnections, bool HasDatabase)
{
    public string Namespace => $"{Conventions.Platform}-{Name}";
}

/// <summary><c>overlays/</c>: what differs from one environment to the other, each in one file with a comment for all that may be changed.</summary>
internal static class Overlays
{
    public static readonly IReadOnlyList<Overlay> All =
    [
        new("dev", (1, 2), DatabaseConnections: 100, HasDatabase: true),
        new("staging", (2, 4), DatabaseConnections: 200, HasDatabase: false),
        new("production", (Conventions.MinReplicas, Conventions.MaxReplicas), DatabaseConnections: 500, HasDatabase: false),
    ];

    public static void Write(IDictionary<string, string> files, PublishedPlatform platform)
    {
        foreach (var overlay in All)
        {
            files[$"overlays/{overlay.Name}/kustomization.yaml"] = Kustomization(overlay, platform);
            files[$"overlays/{overlay.Name}/namespace.yaml"] = Manifest.Yaml(new
            {
                apiVersion = "v1",
                kind = "Namespace",
                metadata = new
                {
                    name = overlay.Namespace,
                    labels = new SortedDictionary<string, string>(Conventions.Labels(Conventions.Platform, "namespace", platform.Version), StringComparer.Ordinal)
                    {
                        ["pod-security.kubernetes.io/enforce"] = "restricted",
                        ["pod-security.kubernetes.io/warn"] = "restricted",
                    },
                },
            });
        }
    }

    private static string Kustomization(Overlay overlay, PublishedPlatform platform)
    {
        var text = new StringBuilder();
        var hosts = platform.Services.Where(service => service.External is not null).ToList();

        text.Append(CultureInfo.InvariantCulture, $"""
            # What is special about {overlay.Name}: change it here. ./publish keeps a file that was changed; everything else is made of the app model again.
            apiVersion: kustomize.config.k8s.io/v1beta1
            kind: Kustomization
            namespace: {overlay.Namespace}

            resources:
              - namespace.yaml
              - ../../base

            components:

            """);
        if (hosts.Count > 0)
            text.Append("  - ../../components/hosts\n");
        if (overlay.HasDatabase)
        {
            foreach (var server in platform.Databases)
                text.Append(CultureInfo.InvariantCulture, $"  - ../../components/{server.Name}  # a small database in the cluster; without this line the external ones that the Secrets name\n");
        }

        text.Append("""
              - ../../components/monitoring  # needs the Prometheus operator: leave it out where there is none

            # Where the images are. "digest: sha256:…" in place of newTag pins one for good.
            images:

            """);
        foreach (var service in platform.Services)
        {
            text.Append(CultureInfo.InvariantCulture, $"""
                  - name: {service.Image}
                    newName: registry.example.com/{service.Image}
                    newTag: {Manifest.Scalar(platform.Version)}

                """);
        }

        text.Append("\nconfigMapGenerator:\n");
        if (hosts.Count > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"""
                  # The public hosts. Ingress, certificate and the addresses that the services give out follow.
                  - name: {HostsComponent.ConfigMap}
                    literals:

                """);
            foreach (var service in hosts)
                text.Append(CultureInfo.InvariantCulture, $"      - {service.Name}={service.Name}.{overlay.Name}.example.com\n");
            text.Append("""
                    options:
                      disableNameSuffixHash: true
                      annotations: {config.kubernetes.io/local-config: "true"}

                """);
        }

        text.Append("""

              # Settings of each service, docs/operations.md#configuration. Its pods are replaced when one changes.
              # OTEL_EXPORTER_OTLP_ENDPOINT is the collector; without the line nothing is sent. *_URL is the address of another service, and wins over service
              # discovery; to one outside of this namespace the NetworkPolicy of the service must be widened too.

            """);
        foreach (var service in platform.Services)
        {
            text.Append(CultureInfo.InvariantCulture, $"""
                  - name: {service.Name}
                    behavior: merge
                    literals:
                      - OTEL_EXPORTER_OTLP_ENDPOINT=http://otel-collector.{Conventions.MonitoringNamespace}:{Conventions.OtlpPorts[0]}
                      - OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name={overlay.Name}

                """);
            foreach (var target in service.Calls.Select(call => call.Target).Distinct())
                text.Append(CultureInfo.InvariantCulture, $"      - {target.Replace('-', '_').ToUpperInvariant()}_URL=http://{target}\n");
            if (PoolSize(service, overlay, platform) is { } poolSize)
                text.Append(CultureInfo.InvariantCulture, $"      - Database__MaxPoolSize={poolSize}  # all services at most replicas, and one more of each in an update, on {overlay.DatabaseConnections} connections\n");
        }

        text.Append("""

            patches:
              # Fewest and most pods.

            """);
        foreach (var service in platform.Services)
        {
            var (min, max) = Replicas(service, overlay);
            text.Append(CultureInfo.InvariantCulture, $$"""
                  - target: {kind: HorizontalPodAutoscaler, name: {{service.Name}}}
                    patch: |-
                      - {op: replace, path: /spec/minReplicas, value: {{min}}}
                      - {op: replace, path: /spec/maxReplicas, value: {{max}}}

                """);
        }

        text.Append("  # What a pod asks for and may take. Add \"name: …\" to the target for one service alone.\n");
        text.Append("""
              - target: {kind: Deployment}
                patch: |-
                  - op: replace
                    path: /spec/template/spec/containers/0/resources
                    value:

            """);
        foreach (var line in Manifest.Yaml(Conventions.Resources).TrimEnd('\n').Split('\n'))
            text.Append("          ").Append(line).Append('\n');

        if (hosts.Count > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $$"""
                  # The Ingress controller, and who issues its certificates. Without cert-manager remove the annotation, and make the Secrets NAME-tls by hand.
                  - target: {kind: Ingress}
                    patch: |-
                      - {op: replace, path: /spec/ingressClassName, value: {{Conventions.IngressClass}}}
                      - {op: replace, path: /metadata/annotations/cert-manager.io~1cluster-issuer, value: {{Conventions.CertificateIssuer}}}

                """);
            foreach (var service in hosts)
            {
                text.Append(CultureInfo.InvariantCulture, $$"""
                      - target: {kind: Ingress, name: {{service.Name}}}
                        patch: |-
                          - {op: replace, path: /spec/tls/0/secretName, value: {{service.Name}}-tls}

                    """);
            }
        }

        foreach (var connection in platform.Connections.Where(connection => !overlay.HasDatabase || platform.Databases.All(server => server.Name != connection.Key.Server)))
        {
            text.Append(CultureInfo.InvariantCulture, $$"""
                  # Where {{connection.Key.Server}} is: anywhere, until this names its addresses.
                  - target: {kind: NetworkPolicy, name: {{connection.Key.Server}}-external}
                    patch: |-
                      - op: replace
                        path: /spec/egress/0/to
                        value:
                          - ipBlock: {cidr: 0.0.0.0/0}
                          - ipBlock: {cidr: "::/0"}

                """);
        }

        return text.ToString().ReplaceLineEndings("\n");
    }

    private static (int Min, int Max) Replicas(PublishedService service, Overlay overlay) => overlay.HasDatabase
        ? overlay.Replicas
        : (service.MinReplicas ?? overlay.Replicas.Min, Math.Max(service.MinReplicas ?? 0, overlay.Replicas.Max));

    /// <summary>
    /// What each process may hold so that all of them find a connection: PostgreSQL keeps three for superusers, and a process has three beside its pool
    /// (docs/operations.md#capacity). Null for a service without a database.
    /// </summary>
    private static int? PoolSize(PublishedService service, Overlay overlay, PublishedPlatform platform)
    {
        var sizes = service.Connections.Select(own =>
        {
            var processes = platform.Services.Where(other => other.Connections.Any(connection => connection.Server == own.Server)).Sum(other => Replicas(other, overlay).Max + 1);
            return ((overlay.DatabaseConnections - 3) / processes) - 3;
        }).ToList();
        return sizes.Count > 0 ? Math.Max(1, sizes.Min()) : null;
    }
}
