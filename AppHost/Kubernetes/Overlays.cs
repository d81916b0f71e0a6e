using System.Globalization;
using System.Text;
using k8s.Models;

namespace Platform.AppHost.Kubernetes;

/// <summary>An environment in <c>overlays/</c>.</summary>
/// <param name="Replicas">Minimum and maximum pods of a service.</param>
/// <param name="DatabaseConnections">Assumed <c>max_connections</c> of the database server.</param>
/// <param name="HasDatabase">True if the databases run in the cluster.</param>
internal sealed record Overlay(string Name, (int Min, int Max) Replicas, int DatabaseConnections, bool HasDatabase)
{
    public string Namespace => $"{Conventions.Platform}-{Name}";
}

/// <summary><c>overlays/</c>: everything that differs between environments, in one file for each, with a comment for each setting.</summary>
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
            var labels = Conventions.Labels(Conventions.Platform, "namespace", platform.Version);
            labels["pod-security.kubernetes.io/enforce"] = "restricted";
            labels["pod-security.kubernetes.io/warn"] = "restricted";
            files[$"overlays/{overlay.Name}/namespace.yaml"] = Manifest.Yaml(new V1Namespace { Metadata = new() { Name = overlay.Namespace, Labels = labels } });
        }
    }

    private static string Kustomization(Overlay overlay, PublishedPlatform platform)
    {
        var text = new StringBuilder();
        var hosts = platform.ServicesWithHost.ToList();

        text.Append(CultureInfo.InvariantCulture, $"""
            # All settings of the environment "{overlay.Name}". Change them here: ./publish keeps changed files, and generates all others anew.
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
                text.Append(CultureInfo.InvariantCulture, $"  - ../../components/{server.Name}  # a small database in the cluster; without this line, the external databases named in the Secrets\n");
        }

        text.Append("""
              - ../../components/monitoring  # needs the Prometheus operator; remove the line if there is none

            # The registry of the images. Use "digest: sha256:…" instead of newTag to pin an image.
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
                  # The public hosts. They are copied to Ingress, certificate and the URLs that the services give out.
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

              # Settings of each service: docs/operations.md#configuration. Changing one replaces the service's pods.
              # OTEL_EXPORTER_OTLP_ENDPOINT is the collector; without it no telemetry is sent. *_URL is the address of another service and overrides service
              # discovery. If it is outside this namespace, the service's NetworkPolicy must allow it too.

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
                text.Append(CultureInfo.InvariantCulture, $"      - Database__MaxPoolSize={poolSize}  # so that all services at their maximum, plus one pod each during an update, fit into {overlay.DatabaseConnections} connections\n");
        }

        text.Append("""

            patches:
              # Minimum and maximum pods.

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

        text.Append("""
              # Resource requests and limits of all services. Add "name: …" to the target to change those of one.
              - target: {kind: Deployment}
                patch: |-
                  - op: replace
                    path: /spec/template/spec/containers/0/resources
                    value:

            """);
        text.Append(Manifest.Indented(Manifest.Yaml(Conventions.Resources), 10));

        if (hosts.Count > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $$"""
                  # The Ingress class and the certificate issuer. Without cert-manager, remove the annotation and create the Secrets NAME-tls yourself.
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
                  # The addresses of {{connection.Key.Server}}. The default allows any address.
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
    /// The pool size with which the connections of the server suffice for all processes. PostgreSQL reserves three for superusers, and a process uses three
    /// outside its pool (docs/operations.md#capacity). Null for a service without a database.
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
