namespace Platform.AppHost.Kubernetes;

/// <summary>What the app model says nothing of, in one place. Overlays can change all of it.</summary>
internal static class Conventions
{
    /// <summary>The name of the whole, and the beginning of its namespaces.</summary>
    public const string Platform = "platform";

    /// <summary>User of .NET's container images.</summary>
    public const int ServiceUser = 1654;

    /// <summary>User of the Debian image of PostgreSQL.</summary>
    public const int PostgresUser = 999;

    /// <summary>Seconds in which a pod that ends still serves, while everybody who has its address learns that it ends.</summary>
    public const int PreStopSeconds = 5;

    /// <summary>Seconds after which a pod that ends is killed: the above, the 4 s within which a service is gone, and as much again.</summary>
    public const int GracePeriodSeconds = 15;

    /// <summary>The namespace of the collector and of Prometheus.</summary>
    public const string MonitoringNamespace = "monitoring";

    public static readonly int[] OtlpPorts = [4317, 4318];

    public const string IngressNamespace = "ingress-nginx";

    public const string IngressClass = "nginx";

    public const string CertificateIssuer = "letsencrypt";

    /// <summary>The largest body that the public may send: a template's bundle has 10 MiB.</summary>
    public const string LargestBody = "11m";

    /// <summary>
    /// A service at rest takes some 140 MB; under load StoreDeployer adds its caches (docs/operations.md#capacity). At the limit the garbage collector
    /// keeps the heap within three quarters. Two cores at the most: start-up is compilation for the most part, and should not be throttled.
    /// </summary>
    public static readonly object Resources = new
    {
        requests = new { cpu = "250m", memory = "384Mi" },
        limits = new { cpu = "2", memory = "768Mi" },
    };

    public static readonly object PostgresResources = new
    {
        requests = new { cpu = "250m", memory = "256Mi" },
        limits = new { cpu = "2", memory = "1Gi" },
    };

    /// <summary>Room for what a service keeps on disk: the store cache has 1 GiB, and may be above it for a moment.</summary>
    public const string DirectorySize = "1536Mi";

    public const int MinReplicas = 2;

    public const int MaxReplicas = 10;

    public static SortedDictionary<string, string> Labels(string name, string component, string version) => new(StringComparer.Ordinal)
    {
        ["app.kubernetes.io/component"] = component,
        ["app.kubernetes.io/managed-by"] = "kustomize",
        ["app.kubernetes.io/name"] = name,
        ["app.kubernetes.io/part-of"] = Platform,
        ["app.kubernetes.io/version"] = version,
    };

    /// <summary>What selects the pods: never the version, which changes.</summary>
    public static SortedDictionary<string, string> Selector(string name) => new(StringComparer.Ordinal) { ["app.kubernetes.io/name"] = name };

    public static object Selected(string name) => new { matchLabels = Selector(name) };

    public static object Selected(IEnumerable<string> names) => new
    {
        matchExpressions = new[] { new { key = "app.kubernetes.io/name", @operator = "In", values = names.Order(StringComparer.Ordinal).ToArray() } },
    };

    public static object PodSecurity(int user) => new
    {
        runAsNonRoot = true,
        runAsUser = user,
        runAsGroup = user,
        fsGroup = user,
        fsGroupChangePolicy = "OnRootMismatch",
        seccompProfile = new { type = "RuntimeDefault" },
    };

    public static object ContainerSecurity() => new
    {
        allowPrivilegeEscalation = false,
        privileged = false,
        readOnlyRootFilesystem = true,
        capabilities = new { drop = new[] { "ALL" } },
    };
}
