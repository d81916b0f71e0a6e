using System.Globalization;
using k8s.Models;

namespace Platform.AppHost.Kubernetes;

/// <summary>
/// <c>components/NAME</c> for each PostgreSQL server: runs it in the cluster with its databases, and connects the services to it. It needs only the Secret
/// with the password.
/// </summary>
internal static class PostgresComponent
{
    public static void Write(IDictionary<string, string> files, PublishedPlatform platform)
    {
        foreach (var server in platform.Databases)
        {
            var directory = $"components/{server.Name}";
            var clients = platform.Services.Where(service => service.Connections.Any(connection => connection.Server == server.Name)).ToList();
            var metadata = new V1ObjectMeta { Name = server.Name, Labels = Conventions.Labels(server.Name, "database", platform.Version) };
            var resources = new SortedDictionary<string, string>(StringComparer.Ordinal)
            {
                ["service-account.yaml"] = Manifest.Yaml(Conventions.ServiceAccount(metadata)),
                ["service.yaml"] = Manifest.Yaml(Service(server, metadata)),
                ["stateful-set.yaml"] = Manifest.Yaml(StatefulSet(server, metadata)),
            };
            if (clients.Count > 0)
                resources["network-policies.yaml"] = NetworkPolicies.ToServer(server, clients, platform);

            foreach (var (file, manifest) in resources)
                files[$"{directory}/{file}"] = manifest;
            foreach (var client in clients)
                files[$"{directory}/{client.Name}.yaml"] = Manifest.Yaml(ComposeConnectionStrings(client, server));
            files[$"{directory}/databases.sql"] = string.Concat(server.Databases.Select(name => $"CREATE DATABASE \"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\";\n"));
            files[$"{directory}/kustomization.yaml"] = Manifest.Yaml(new
            {
                apiVersion = "kustomize.config.k8s.io/v1alpha1",
                kind = "Component",
                resources = resources.Keys,
                configMapGenerator = new[] { new { name = Databases(server), files = new[] { "databases.sql" }, options = new { labels = metadata.Labels } } },
                patches = clients.Select(client => (object)new { path = $"{client.Name}.yaml", target = new { kind = "Deployment", name = client.Name } })
                    .Concat(clients.Count > 0 ? [new { patch = DeletionOfExternalPolicy(server) }] : []),
            });
        }
    }

    private static string Databases(PublishedDatabaseServer server) => $"{server.Name}-databases";

    private static string DeletionOfExternalPolicy(PublishedDatabaseServer server) => Manifest.Yaml(new Dictionary<string, object>
    {
        ["$patch"] = "delete",
        ["apiVersion"] = "networking.k8s.io/v1",
        ["kind"] = "NetworkPolicy",
        ["metadata"] = new { name = $"{server.Name}-external" },
    });

    private static V1Service Service(PublishedDatabaseServer server, V1ObjectMeta metadata) => new()
    {
        Metadata = metadata,
        Spec = new()
        {
            ClusterIP = "None",
            Selector = Conventions.Selector(server.Name),
            Ports = [new() { Name = "postgres", Port = server.Port, TargetPort = "postgres", Protocol = "TCP" }],
        },
    };

    private static V1StatefulSet StatefulSet(PublishedDatabaseServer server, V1ObjectMeta metadata) => new()
    {
        Metadata = metadata,
        Spec = new()
        {
            ServiceName = server.Name,
            Replicas = 1,
            Selector = Conventions.Selected(server.Name),
            Template = new()
            {
                Metadata = new() { Labels = metadata.Labels },
                Spec = new()
                {
                    ServiceAccountName = server.Name,
                    AutomountServiceAccountToken = false,
                    EnableServiceLinks = false,
                    TerminationGracePeriodSeconds = 60,
                    SecurityContext = Conventions.PodSecurity(Conventions.PostgresUser),
                    Containers = [Container(server)],
                    Volumes =
                    [
                        new() { Name = "databases", ConfigMap = new() { Name = Databases(server) } },
                        Conventions.EmptyDirectory("run", "16Mi"),
                        Conventions.EmptyDirectory("tmp", "256Mi"),
                    ],
                },
            },
            VolumeClaimTemplates =
            [
                new()
                {
                    Metadata = new() { Name = "data" },
                    Spec = new()
                    {
                        AccessModes = ["ReadWriteOnce"],
                        Resources = new() { Requests = new Dictionary<string, ResourceQuantity> { ["storage"] = new("8Gi") } },
                    },
                },
            ],
        },
    };

    private static V1Container Container(PublishedDatabaseServer server) => new()
    {
        Name = server.Name,
        Image = server.Image,
        ImagePullPolicy = "IfNotPresent",
        Ports = [new() { Name = "postgres", ContainerPort = server.Port, Protocol = "TCP" }],
        Env = [.. server.Variables.Select(ContainerEnvironment.Entry)],
        Resources = Conventions.PostgresResources,
        StartupProbe = Probe(period: 2, failures: 60),
        LivenessProbe = Probe(period: 10, failures: 6),
        ReadinessProbe = Probe(period: 5, failures: 2),
        SecurityContext = Conventions.ContainerSecurity(),
        VolumeMounts =
        [
            new() { Name = "data", MountPath = server.DataDirectory },
            new() { Name = "databases", MountPath = "/docker-entrypoint-initdb.d" },
            new() { Name = "run", MountPath = "/var/run/postgresql" },
            new() { Name = "tmp", MountPath = "/tmp" },
        ],
    };

    /// <summary>
    /// A JSON patch, because the order of variables matters: the password must come before the connection strings that contain it. Each replacement is
    /// preceded by a test that the expected variable is at that index.
    /// </summary>
    private static List<object> ComposeConnectionStrings(PublishedService client, PublishedDatabaseServer server)
    {
        const string Env = "/spec/template/spec/containers/0/env";
        var names = ContainerEnvironment.Of(client).Select(variable => variable.Name).ToList();
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
            var place = $"{Env}/{names.IndexOf(variable.Name).ToString(CultureInfo.InvariantCulture)}";
            operations.Add(new { op = "test", path = $"{place}/name", value = variable.Name });
            operations.Add(new { op = "replace", path = place, value = ContainerEnvironment.Entry(variable) });
        }

        foreach (var secret in ContainerEnvironment.EmbeddedSecrets(client, composed).Where(secret => !names.Contains(secret.Variable)))
            operations.Add(new { op = "add", path = $"{Env}/0", value = ContainerEnvironment.Entry(secret.Variable, secret) });
        return operations;
    }

    // Over TCP, because the image creates the databases with a server that listens on a Unix socket only.
    private static V1Probe Probe(int period, int failures) => new()
    {
        Exec = new() { Command = ["pg_isready", "--quiet", "--host", "127.0.0.1"] },
        PeriodSeconds = period,
        TimeoutSeconds = 5,
        FailureThreshold = failures,
    };
}
