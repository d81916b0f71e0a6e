using Aspire.Hosting.ApplicationModel;
using k8s;
using k8s.Models;

#pragma warning disable ASPIREPROBES001

namespace Platform.AppHost.Kubernetes;

/// <summary>The manifests of one service.</summary>
internal sealed class ServiceManifests(PublishedService service, PublishedPlatform platform)
{
    private readonly SortedDictionary<string, string> _labels = Conventions.Labels(service.Name, "service", platform.Version);

    /// <summary>The objects by file name. A service without ports has no Service, one without an external endpoint no Ingress.</summary>
    public IEnumerable<(string File, IKubernetesObject Manifest)> All()
    {
        yield return ("deployment", Deployment());
        yield return ("horizontal-pod-autoscaler", HorizontalPodAutoscaler());
        yield return ("network-policy", NetworkPolicies.Of(service, platform));
        yield return ("pod-disruption-budget", PodDisruptionBudget());
        yield return ("service-account", Conventions.ServiceAccount(Metadata()));
        if (service.Ports.Count > 0)
            yield return ("service", Service());
        if (service.External is { } external)
            yield return ("ingress", Ingress(external));
    }

    private V1Deployment Deployment() => new()
    {
        Metadata = Metadata(),
        Spec = new()
        {
            // No replicas: the HorizontalPodAutoscaler sets them.
            RevisionHistoryLimit = 5,
            Strategy = new() { Type = "RollingUpdate", RollingUpdate = new() { MaxSurge = 1, MaxUnavailable = 0 } },
            Selector = Conventions.Selected(service.Name),
            Template = new()
            {
                Metadata = new() { Labels = _labels },
                Spec = new()
                {
                    ServiceAccountName = service.Name,
                    AutomountServiceAccountToken = false,
                    EnableServiceLinks = false,
                    TerminationGracePeriodSeconds = Conventions.GracePeriodSeconds,
                    SecurityContext = Conventions.PodSecurity(Conventions.ServiceUser),
                    TopologySpreadConstraints = [Spread("topology.kubernetes.io/zone"), Spread("kubernetes.io/hostname")],
                    Containers = [Container()],
                    Volumes = [.. service.Directories.Select(directory => Conventions.EmptyDirectory(directory.Name, Conventions.DirectorySize)), Conventions.EmptyDirectory("tmp", "256Mi")],
                },
            },
        },
    };

    private V1Container Container() => new()
    {
        Name = service.Name,
        Image = $"{service.Image}:{platform.Version}",
        ImagePullPolicy = "IfNotPresent",
        Args = service.Arguments.Count > 0 ? [.. service.Arguments] : null,
        Ports = service.Ports.Count > 0 ? [.. service.Ports.Select(port => new V1ContainerPort { Name = port.Name, ContainerPort = port.ContainerPort, Protocol = "TCP" })] : null,
        EnvFrom = [new() { ConfigMapRef = new() { Name = service.Name } }],
        Env = service.Variables.Count > 0 ? [.. ContainerEnvironment.Of(service)] : null,
        Resources = Conventions.Resources,
        StartupProbe = service.Probes.GetValueOrDefault(ProbeType.Startup),
        LivenessProbe = service.Probes.GetValueOrDefault(ProbeType.Liveness),
        ReadinessProbe = service.Probes.GetValueOrDefault(ProbeType.Readiness),
        // The kubelet's own sleep action, because the image has no shell to sleep in.
        Lifecycle = new() { PreStop = new() { Sleep = new() { Seconds = Conventions.PreStopSeconds } } },
        SecurityContext = Conventions.ContainerSecurity(),
        VolumeMounts = [.. service.Directories.Select(directory => new V1VolumeMount { Name = directory.Name, MountPath = directory.MountPath }), new() { Name = "tmp", MountPath = "/tmp" }],
    };

    private V1Service Service() => new()
    {
        Metadata = Metadata(),
        Spec = new()
        {
            Type = "ClusterIP",
            Selector = Conventions.Selector(service.Name),
            Ports = [.. service.Ports.Select(port => new V1ServicePort { Name = port.Name, Port = port.ServicePort, TargetPort = port.Name, Protocol = "TCP" })],
        },
    };

    private V1PodDisruptionBudget PodDisruptionBudget() => new()
    {
        Metadata = Metadata(),
        Spec = new()
        {
            MaxUnavailable = 1,
            // A pod that starts during a database outage isn't ready. It must not block the draining of its node.
            UnhealthyPodEvictionPolicy = "AlwaysAllow",
            Selector = Conventions.Selected(service.Name),
        },
    };

    private V2HorizontalPodAutoscaler HorizontalPodAutoscaler() => new()
    {
        Metadata = Metadata(),
        Spec = new()
        {
            ScaleTargetRef = new() { ApiVersion = "apps/v1", Kind = "Deployment", Name = service.Name },
            MinReplicas = service.MinReplicas ?? Conventions.MinReplicas,
            MaxReplicas = Math.Max(service.MinReplicas ?? 0, Conventions.MaxReplicas),
            Metrics = [new() { Type = "Resource", Resource = new() { Name = "cpu", Target = new() { Type = "Utilization", AverageUtilization = 70 } } }],
        },
    };

    private V1Ingress Ingress(PublishedPort external)
    {
        var host = new PublicHost(service.Name).Placeholder;
        var metadata = Metadata();
        metadata.Annotations = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["cert-manager.io/cluster-issuer"] = Conventions.CertificateIssuer,
            ["nginx.ingress.kubernetes.io/proxy-body-size"] = Conventions.LargestBody,
        };
        var backend = new V1IngressBackend { Service = new() { Name = service.Name, Port = new() { Name = external.Name } } };
        return new()
        {
            Metadata = metadata,
            Spec = new()
            {
                IngressClassName = Conventions.IngressClass,
                Tls = [new() { Hosts = [host], SecretName = $"{service.Name}-tls" }],
                Rules = [new() { Host = host, Http = new() { Paths = [new() { Path = "/", PathType = "Prefix", Backend = backend }] } }],
            },
        };
    }

    private V1ObjectMeta Metadata() => new() { Name = service.Name, Labels = _labels };

    private V1TopologySpreadConstraint Spread(string topologyKey) => new()
    {
        MaxSkew = 1,
        TopologyKey = topologyKey,
        WhenUnsatisfiable = "ScheduleAnyway",
        LabelSelector = Conventions.Selected(service.Name),
        MatchLabelKeys = ["pod-template-hash"],
    };
}
