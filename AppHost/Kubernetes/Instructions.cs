using System.Globalization;
using System.Text;

namespace Platform.AppHost.Kubernetes;

/// <summary><c>README.md</c>: what to change, which Secrets to create, how to apply.</summary>
internal static class Instructions
{
    public static void Write(IDictionary<string, string> files, PublishedPlatform platform)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            # Kubernetes manifests, version {platform.Version}

            Generated from the app model by `./publish`. Change `overlays/*/kustomization.yaml`, which has everything that differs between environments, with
            comments: hosts, images, the collector, addresses, pools, replicas, resources, Ingress and certificates. Publishing again keeps the files that you
            have changed.

            | overlay | namespace | pods of a service | database |
            |---|---|---|---|

            """);
        foreach (var overlay in Overlays.All)
            text.Append(CultureInfo.InvariantCulture, $"| `{overlay.Name}` | `{overlay.Namespace}` | {overlay.Replicas.Min} to {overlay.Replicas.Max} | {(overlay.HasDatabase ? "in the cluster" : "external")} |\n");

        text.Append("""

            ## Apply

            The cluster needs Kubernetes 1.30 or later, a network plugin that enforces NetworkPolicy, the metrics server, an Ingress controller in the namespace
            `ingress-nginx`, cert-manager, and the Prometheus operator and an OTLP collector in the namespace `monitoring`.

            ```sh
            kubectl apply -f overlays/production/namespace.yaml    # then the Secrets, below
            kubectl apply --server-side -k overlays/production
            kubectl -n platform-production rollout status deployment
            ```

            To roll back, apply the previous version. A changed setting replaces the pods. After changing a Secret, replace them with
            `kubectl -n platform-production rollout restart deployment`.

            ## Secrets

            No manifest contains a secret value. Create these Secrets in the namespace before applying the overlay. Each command reads the value from standard
            input, so that it appears neither in the shell's history nor in the list of processes.

            | Secret | key | what it is | overlays |
            |---|---|---|---|

            """);

        var inCluster = platform.Databases.SelectMany(server => server.Variables.SelectMany(variable => variable.Value.Secrets)).DistinctBy(secret => secret.Secret).ToList();
        var own = platform.Secrets.ToList();
        var secrets = own.Select(secret => (secret, Overlays: IsForExternalDatabase(secret) ? Overlays.All.Where(overlay => !overlay.HasDatabase) : Overlays.All))
            .Concat(inCluster.Where(secret => own.All(other => other.Secret != secret.Secret)).Select(secret => (secret, Overlays: Overlays.All.Where(overlay => overlay.HasDatabase))))
            .OrderBy(entry => entry.secret.Secret, StringComparer.Ordinal).ToList();
        foreach (var (secret, overlays) in secrets)
            text.Append(CultureInfo.InvariantCulture, $"| `{secret.Secret}` | `{secret.Key}` | {secret.Description} | {string.Join(", ", overlays.Select(overlay => overlay.Name))} |\n");

        foreach (var overlay in Overlays.All)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n`{overlay.Name}`:\n\n```bash\n");
            foreach (var (secret, _) in secrets.Where(entry => entry.Overlays.Contains(overlay)))
            {
                var create = $"kubectl -n {overlay.Namespace} create secret generic {secret.Secret} --from-file={secret.Key}=/dev/stdin";
                text.Append(secret.IsGenerated
                    ? $"openssl rand -hex 32 | tr -d '\\n' | {create}\n"
                    : $"read -rsp '{secret.Secret}: ' value && printf %s \"$value\" | {create}; unset value\n");
            }

            text.Append("```\n");
        }

        var hosts = platform.ServicesWithHost.ToList();
        if (hosts.Count > 0)
            text.Append(CultureInfo.InvariantCulture, $"\ncert-manager creates the certificates {string.Join(" and ", hosts.Select(service => $"`{service.Name}-tls`"))}. Without it, create them with `kubectl create secret tls`.\n");

        text.Append("""

            ## Databases


            """);
        foreach (var server in platform.Databases)
        {
            text.Append(CultureInfo.InvariantCulture, $"""
                `{server.Name}`: {string.Join(", ", server.Databases.Select(name => $"`{name}`"))}. In the cluster they are created when the volume is empty. Create one that was added to the app model later with
                `kubectl -n platform-dev exec {server.Name}-0 -- sh -c 'PGPASSWORD=$POSTGRES_PASSWORD createdb --username postgres NAME'`. On an external server create
                them yourself, each with a user who owns it. Connection strings use Npgsql's syntax. Each service migrates its own database.

                """);
        }

        text.Append("""

            ## Monitoring

            Prometheus must select the rules and ServiceMonitors of this namespace, and must keep environments apart, because the rules sum over everything with the
            same `job`: use one Prometheus for each environment, or `enforcedNamespaceLabel`. Grafana's sidecar finds the dashboards by the label `grafana_dashboard`.

            """);
        files["README.md"] = text.ToString().ReplaceLineEndings("\n");

        bool IsForExternalDatabase(SecretKey secret) => secret.IsConnectionString &&
            platform.Services.SelectMany(service => service.Connections).Any(connection => connection.Name == secret.Secret && connection.ConnectionString is not null);
    }
}
