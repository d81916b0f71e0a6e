using k8s.Models;

namespace Platform.AppHost.Kubernetes;

/// <summary>Everything the app model doesn't define, in one place. Overlays can change all of it.</summary>
internal static class Conventions
{
    /// <summary>The platform's name, and the prefix of its namespaces.</summary>
    public const string Platform = "platform";

    /// <summary>User of .NET's container images.</summary>
    public const int ServiceUser = 1654;

    /// <summary>User of PostgreSQL's Debian image.</summary>
    public const int PostgresUser = 999;

    /// <summary>Seconds for which a terminating pod still serves, until load balancers and clients have removed its address.</summary>
    public const int PreStopSeconds = 5;

    /// <summary>Seconds after which a terminating pod is killed: <see cref="PreStopSeconds"/>, the 4 s in which a service exits, and some reserve.</summary>
    public const int GracePeriodSeconds = 15;

    /// <summary>The namespace of the collector and of Prometheus.</summary>
    public const string MonitoringNamespace = "monitoring";

    public static readonly int[] OtlpPorts = [4317, 4318];

    public const string IngressNamespace = "ingress-nginx";

    public const string IngressClass = "nginx";

    public const string CertificateIssuer = "letsencrypt";

    /// <summary>The largest request body accepted from the public: a template bundle may have 10 MiB.</summary>
    public const string LargestBody = "11m";

    /// <summary>
    /// An idle service uses about 140 MB; under load StoreDeployer adds its caches (docs/operations.md#capacity). The garbage collector limits the heap to 75 %
    /// of the memory limit. The CPU limit is two cores so that start-up, which is mostly JIT compilation, isn't throttled.
    /// </summary>
    public static readonly V1ResourceRequirements Resources = Requirements("250m", "384Mi", "768Mi");

    public static readonly V1ResourceRequirements PostgresResources = Requirements("250m", "256Mi", "1Gi");

    /// <summary>Size of a service's directory. The store cache is limited to 1 GiB and may exceed that briefly.</summary>
    public const string DirectorySize = "1536Mi";

    public const int MinReplicas = 2;

    public const int MaxReplicas = 10;

    private const string NameLabel = "app.kubernetes.io/name";

    public static SortedDictionary<string, string> Labels(string name, string component, string version) => new(StringComparer.Ordinal)
    {
        ["app.kubernetes.io/component"] = component,
        ["app.kubernetes.io/managed-by"] = "kustomize",
        [NameLabel] = name,
        ["app.kubernetes.io/part-of"] = Platform,
        ["app.kubernetes.io/version"] = version,
    };

    /// <summary>The labels that select pods. The version isn't one of them, because it changes with every upgrade.</summary>
    public static Dictionary<string, string> Selector(string name) => new() { [NameLabel] = name };

    public static V1LabelSelector Selected(string name) => new() { MatchLabels = Selector(name) };

    public static V1LabelSelector Selected(IEnumerable<string> names) => new()
    {
        MatchExpressions = [new() { Key = NameLabel, OperatorProperty = "In", Values = [.. names.Order(StringComparer.Ordinal)] }],
    };

    public static V1PodSecurityContext PodSecurity(int user) => new()
    {
        RunAsNonRoot = true,
        RunAsUser = user,
        RunAsGroup = user,
        FsGroup = user,
        FsGroupChangePolicy = "OnRootMismatch",
        SeccompProfile = new() { Type = "RuntimeDefault" },
    };

    public static V1SecurityContext ContainerSecurity() => new()
    {
        AllowPrivilegeEscalation = false,
        Privileged = false,
        ReadOnlyRootFilesystem = true,
        Capabilities = new() { Drop = ["ALL"] },
    };

    /// <summary>An account without a token, because the pods don't call the Kubernetes API.</summary>
    public static V1ServiceAccount ServiceAccount(V1ObjectMeta metadata) => new() { Metadata = metadata, AutomountServiceAccountToken = false };

    public static V1Volume EmptyDirectory(string name, string sizeLimit) => new() { Name = name, EmptyDir = new() { SizeLimit = new(sizeLimit) } };

    private static V1ResourceRequirements Requirements(string cpu, string memory, string memoryLimit) => new()
    {
        Requests = new Dictionary<string, ResourceQuantity> { ["cpu"] = new(cpu), ["memory"] = new(memory) },
        Limits = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("2"), ["memory"] = new(memoryLimit) },
    };
}
