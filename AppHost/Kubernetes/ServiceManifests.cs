using Aspire.Hosting.ApplicationModel;

#pragma warning disable ASPIREPROBES001

namespace Platform.AppHost.Kubernetes;

/// <summary>The manifests of one service.</summary>
internal sealed class ServiceManifests(PublishedService service, PublishedPlatform platform)
{
    private readonly SortedDictionary<string, string> _labels = Conventions.Labels(service.Name, "service", platform.Version);
    private readonly SortedDictionary<string, string> _selector = Conventions.Selector(service.Name);

    /// <summary>By the name of the file. What needs a port is not there for a service that has none.</summary>
    public IEnumerable<(string File, object Manifest)> All()
    {
        yield return ("deployment", Deployment());
        yield return ("horizontal-pod-autoscaler", HorizontalPodAutoscaler());
        yield return ("network-policy", NetworkPolicies.Of(service, platform));
        yield return ("pod-disruption-budget", PodDisruptionBudget());
        yield return ("service-account", ServiceAccount());
        if (service.Ports.Count > 0)
            yield return ("service", Service());
        if (service.External is not null)
            yield return ("ingress", Ingress());
    }

    private object Deployment() => new
    {
        apiVersion = "apps/v1",
        kind = "Deployment",
        metadata = Metadata(),
        spec = new
        {
            // replicas are for the HorizontalPodAutoscaler to say
            revisionHistoryLimit = 5,
            strategy = new { type = "RollingUpdate", rollingUpdate = new { maxSurge = 1, maxUnavailable = 0 } },
            selector = new { matchLabels = _selector },
            template = new
            {
                metadata = new { labels = _labels },
                spec = new
                {
                    serviceAccountName = service.Name,
                    automountServiceAccountToken = false,
                    enableServiceLinks = false,
                    terminationGracePeriodSeconds = Conventions.GracePeriodSeconds,
                    securityContext = Conventions.PodSecurity(Conventions.ServiceUser),
                    topologySpreadConstraints = new[] { Spread("topology.kubernetes.io/zone"), Spread("kubernetes.io/hostname") },
                    containers = new[]
                    {
                        new
                        {
                            name = service.Name,
                            image = $"{service.Image}:{platform.Version}",
                            imagePullPolicy = "IfNotPresent",
                            args = service.Arguments.Count > 0 ? service.Arguments : null,
                            ports = service.Ports.Count > 0 ? service.Ports.Select(port => new { name = port.Name, containerPort = port.ContainerPort, protocol = "TCP" }) : null,
                            envFrom = new[] { new { configMapRef = new { name = service.Name } } },
                            env = service.Variables.Count > 0 ? ContainerEnvironment.Of(service).Select(variable => variable.Entry) : null,
                            resources = Conventions.Resources,
                            startupProbe = Probe(ProbeType.Startup),
                            livenessProbe = Probe(ProbeType.Liveness),
                            readinessProbe = Probe(ProbeType.Readiness),
                            // the image has no shell that could sleep
                            lifecycle = new { preStop = new { sleep = new { seconds = Conventions.PreStopSeconds } } },
                            securityContext = Conventions.ContainerSecurity(),
                            volumeMounts = service.Directories.Select(directory => new { name = directory.Name, mountPath = directory.MountPath })
                                .Append(new { name = "tmp", mountPath = "/tmp" }),
                        },
                    },
                    volumes = service.Directories.Select(directory => new { name = directory.Name, emptyDir = new { sizeLimit = Conventions.DirectorySize } })
                        .Append(new { name = "tmp", emptyDir = new { sizeLimit = "256Mi" } }),
                },
            },
        },
    };

    private object Service() => new
    {
        apiVersion = "v1",
        kind = "Service",
        metadata = Metadata(),
        spec = new
        {
            type = "ClusterIP",
            selector = _selector,
            ports = service.Ports.Select(port => new { name = port.Name, port = port.ServicePort, targetPort = port.Name, protocol = "TCP" }),
        },
    };

    private object ServiceAccount() => new
    {
        apiVersion = "v1",
        kind = "ServiceAccount",
        metadata = Metadata(),
        automountServiceAccountToken = false,
    };

    private object PodDisruptionBudget() => new
    {
        apiVersion = "policy/v1",
        kind = "PodDisruptionBudget",
        metadata = Metadata(),
        spec = new
        {
            maxUnavailable = 1,
            // pods that are not ready, because their database is away, must not keep a node from being drained
            unhealthyPodEvictionPolicy = "AlwaysAllow",
            selector = new { matchLabels = _selector },
        },
    };

    private object HorizontalPodAutoscaler() => new
    {
        apiVersion = "autoscaling/v2",
        kind = "HorizontalPodAutoscaler",
        metadata = Metadata(),
        spec = new
        {
            scaleTargetRef = new { apiVersion = "apps/v1", kind = "Deployment", name = service.Name },
            minReplicas = service.MinReplicas ?? Conventions.MinReplicas,
            maxReplicas = Math.Max(service.MinReplicas ?? 0, Conventions.MaxReplicas),
            metrics = new[] { new { type = "Resource", resource = new { name = "cpu", target = new { type = "Utilization", averageUtilization = 70 } } } },
        },
    };

    private object Ingress() => new
    {
        apiVersion = "networking.k8s.io/v1",
        kind = "Ingress",
        metadata = new
        {
            name = service.Name,
            labels = _labels,
            annotations = new SortedDictionary<string, string>(StringComparer.Ordinal)
            {
                ["cert-manager.io/cluster-issuer"] = Conventions.CertificateIssuer,
                ["nginx.ingress.kubernetes.io/proxy-body-size"] = Conventions.LargestBody,
            },
        },
        spec = new
        {
            ingressClassName = Conventions.IngressClass,
            tls = new[] { new { hosts = new[] { new PublicHost(service.Name).Placeholder }, secretName = $"{service.Name}-tls" } },
            rules = new[]
            {
                new
                {
                    host = new PublicHost(service.Name).Placeholder,
                    http = new
                    {
                        paths = new[]
                        {
                            new { path = "/", pathType = "Prefix", backend = new { service = new { name = service.Name, port = new { name = service.External!.Name } } } },
                        },
                    },
                },
            },
        },
    };

    private object Metadata() => new { name = service.Name, labels = _labels };

    private object Spread(string topologyKey) => new
    {
        maxSkew = 1,
        topologyKey,
        whenUnsatisfiable = "ScheduleAnyway",
        labelSelector = new { matchLabels = _selector },
        matchLabelKeys = new[] { "pod-template-hash" },
    };

    private object? Probe(ProbeType type) => service.Probes.FirstOrDefault(probe => probe.Type == type) is { } probe
        ? new
        {
            httpGet = new { path = probe.Path, port = probe.Port },
            initialDelaySeconds = probe.InitialDelay,
            periodSeconds = probe.Period,
            timeoutSeconds = probe.Timeout,
            failureThreshold = probe.Failures,
            successThreshold = probe.Successes,
        }
        : null;
}
