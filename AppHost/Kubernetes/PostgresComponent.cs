using System.Globalization;

namespace Platform.AppHost.Kubernetes;

/// <summary>
/// <c>components/NAME</c> for each PostgreSQL server: the server in the cluster, with its databases, and the services' way to it. All that it takes is
/// the Secret with the password.
/// </summary>
internal static class PostgresComponent
{
    public static void Write(IDictionary<string, string> files, PublishedPlatform platform)
    {
        foreach (var server in platform.Databases)
        {
            var directory = $"components/{server.Name}";
            var clients = platform.Services.Where(service => service.Connections.Any(connection => connection.Server == server.Name)).ToList();
            var labels = Conventions.Labels(server.Name, "database", platform.Version);
            var metadata = new { name = server.Name, labels };

            files[$"{directory}/stateful-set.yaml"] = Manifest.Yaml(StatefulSet(server, labels));
            files[$"{directory}/service.yaml"] = Manifest.Yaml(new
            {
                apiVersion = "v1",
                kind = "Service",
                metadata,
                spec = new
                {
                    clusterIP = "None",
                    selector = Conventions.Selector(server.Name),
                    ports = new[] { new { name = "postgres", port = server.Port, targetPort = "postgres", protocol = "TCP" } },
                },
            });
            files[$"{directory}/service-account.yaml"] = Manifest.Yaml(new { apiVersion = "v1", kind = "ServiceAccount", metadata, automountServiceAccountToken = false });
            files[$"{directory}/databases.sql"] = string.Concat(server.Databases.Select(name => $"CREATE DATABASE \"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\";\n"));
            if (clients.Count > 0)
                files[$"{directory}/network-policies.yaml"] = NetworkPolicies.ToServer(server, clients, platform);
            foreach (var client in clients)
                files[$"{directory}/{client.Name}.yaml"] = Manifest.Yaml(ComposeConnectionStrings(client, server));

            files[$"{directory}/kustomization.yaml"] = Manifest.Yaml(new
            {
                apiVersion = "kustomize.config.k8s.io/v1alpha1",
                kind = "Component",
                resources = new[] { "network-policies.yaml", "service-account.yaml", "service.yaml", "stateful-set.yaml" }.Where(file => files.ContainsKey($"{directory}/{file}")),
                configMapGenerator = new[]
                {
                    new
                    {
                        name = Databases(server),
                        files = new[] { "databases.sql" },
                        options = new { labels },
                    },
                },
                patches = clients.Select(client => (object)new { path = $"{client.Name}.yaml", target = new { kind = "Deployment", name = client.Name } })
                    .Concat(clients.Count > 0
                        ?
                        [
                            new
                            {
                                patch = Manifest.Yaml(new Dictionary<string, object>
                                {
                                    ["$patch"] = "delete",
                                    ["apiVersion"] = "networking.k8s.io/v1",
                                    ["kind"] = "NetworkPolicy",
                                    ["metadata"] = new { name = $"{server.Name}-external" },
                                }),
                            },
                        ]
                        : []),
            });
        }
    }

    private static string Databases(PublishedDatabaseServer server) => $"{server.Name}-databases";

    private static object StatefulSet(PublishedDatabaseServer server, SortedDictionary<string, string> labels) => new
    {
        apiVersion = "apps/v1",
        kind = "StatefulSet",
        metadata = new { name = server.Name, labels },
        spec = new
        {
            serviceName = server.Name,
            replicas = 1,
            selector = Conventions.Selected(server.Name),
            template = new
            {
                metadata = new { labels },
                spec = new
                {
                    serviceAccountName = server.Name,
                    automountServiceAccountToken = false,
                    enableServiceLinks = false,
                    terminationGracePeriodSeconds = 60,
                    securityContext = Conventions.PodSecurity(Conventions.PostgresUser),
                    containers = new[]
                    {
                        new
                        {
                            name = server.Name,
                            image = server.Image,
                            imagePullPolicy = "IfNotPresent",
                            ports = new[] { new { name = "postgres", containerPort = server.Port, protocol = "TCP" } },
                            env = server.Variables.Select(ContainerEnvironment.Entry),
                            resources = Conventions.PostgresResources,
                            // over TCP: while the image makes the databases, its server listens on a socket only
                            startupProbe = Probe(period: 2, failures: 60),
                            livenessProbe = Probe(period: 10, failures: 6),
                            readinessProbe = Probe(period: 5, failures: 2),
                            securityContext = Conventions.ContainerSecurity(),
                            volumeMounts = new[]
                            {
                                Mount("data", server.DataDirectory),
                                Mount("databases", "/docker-entrypoint-initdb.d"),
                                Mount("run", "/var/run/postgresql"),
                                Mount("tmp", "/tmp"),
                            },
                        },
                    },
                    volumes = new object[]
                    {
                        new { name = "databases", configMap = new { name = Databases(server) } },
                        new { name = "run", emptyDir = new { sizeLimit = "16Mi" } },
                        new { name = "tmp", emptyDir = new { sizeLimit = "256Mi" } },
                    },
                },
            },
            volumeClaimTemplates = new[]
            {
                new
                {
                    metadata = new { name = "data" },
                    spec = new { accessModes = new[] { "ReadWriteOnce" }, resources = new { requests = new { storage = "8Gi" } } },
                },
            },
        },
    };

    /// <summary>
    /// A JSON patch, because order counts: the password comes first, and then the connection strings that are composed of it. Each place is checked before it
    /// is written to.
    /// </summary>
    private static List<object> ComposeConnectionStrings(PublishedService client, PublishedDatabaseServer server)
    {
        const string Env = "/spec/template/spec/containers/0/env";
        var environment = ContainerEnvironment.Of(client);
        var composed = client.Variables
            .Select(variable => (variable.Name, Connection: variable.Value.Parts is [SecretKey { IsConnectionString: true } secret]
                ? client.Connections.FirstOrDefault(connection => connection.Name == secret.Secret && connection.Server == server.Name)
                : null))
            .Where(variable => variable.Connection is not null)
            .Select(variable => new PublishedVariable(variable.Name, variable.Connection!.ConnectionString!))
            .ToList();

        var operations = new List<object>();
        foreach (var variable in composed)
        {
            var place = $"{Env}/{environment.Select(entry => entry.Name).ToList().IndexOf(variable.Name).ToString(CultureInfo.InvariantCulture)}";
            operations.Add(new { op = "test", path = $"{place}/name", value = variable.Name });
            operations.Add(new { op = "replace", path = place, value = ContainerEnvironment.Entry(variable) });
        }

        foreach (var secret in ContainerEnvironment.ComposedOf(client, composed).Where(secret => environment.All(entry => entry.Name != secret.Variable)))
            operations.Add(new { op = "add", path = $"{Env}/0", value = ContainerEnvironment.Entry(secret.Variable, secret) });
        return operations;
    }

    private static object Probe(int period, int failures) => new
    {
        exec = new { command = new[] { "pg_isready", "--quiet", "--host", "127.0.0.1" } },
        periodSeconds = period,
        timeoutSeconds = 5,
        failureThreshold = failures,
    };

    private static object Mount(string name, string mountPath) => new { name, mountPath };
}
