namespace Platform.AppHost.Kubernetes;

/// <summary>Who may talk to whom: what the app model has an arrow for, and nothing else.</summary>
internal static class NetworkPolicies
{
    /// <summary>For every pod: nothing in, nothing out but questions for an address.</summary>
    public static string OfNamespace(PublishedPlatform platform) => Manifest.Yaml(Policy("default-deny", platform, new
    {
        podSelector = new { },
        policyTypes = new[] { "Ingress", "Egress" },
    })) + "---\n" + Manifest.Yaml(Policy("dns", platform, new
    {
        podSelector = new { },
        policyTypes = new[] { "Egress" },
        egress = new[]
        {
            new
            {
                to = new[] { new { namespaceSelector = Namespace("kube-system"), podSelector = new { matchLabels = new Dictionary<string, string> { ["k8s-app"] = "kube-dns" } } } },
                ports = new[] { new { protocol = "UDP", port = 53 }, new { protocol = "TCP", port = 53 } },
            },
        },
    }));

    /// <summary>Both sides of the service's arrows, its telemetry, Prometheus, and the Ingress of one that the public reaches.</summary>
    public static object Of(PublishedService service, PublishedPlatform platform)
    {
        var ingress = new List<object>();
        foreach (var port in service.Ports)
        {
            var callers = platform.Services.Where(caller => caller.Calls.Contains(new(service.Name, port.ContainerPort))).ToList();
            if (callers.Count > 0)
                ingress.Add(new { from = callers.Select(caller => (object)new { podSelector = Conventions.Selected(caller.Name) }).ToArray(), ports = Ports(port.ContainerPort) });
        }

        if (service.Http is { } http)
            ingress.Add(new { from = new[] { new { namespaceSelector = Namespace(Conventions.MonitoringNamespace) } }, ports = Ports(http.ContainerPort) });
        if (service.External is { } external)
            ingress.Add(new { from = new[] { new { namespaceSelector = Namespace(Conventions.IngressNamespace) } }, ports = Ports(external.ContainerPort) });

        return Policy(service.Name, platform, new
        {
            podSelector = Conventions.Selected(service.Name),
            policyTypes = new[] { "Ingress", "Egress" },
            ingress = ingress.Count > 0 ? ingress : null,
            egress = service.Calls.Select(call => (object)new { to = new[] { new { podSelector = Conventions.Selected(call.Target) } }, ports = Ports(call.Port) })
                .Append(new { to = new[] { new { namespaceSelector = Namespace(Conventions.MonitoringNamespace) } }, ports = Ports(Conventions.OtlpPorts) }).ToArray(),
        });
    }

    /// <summary>What is outside of the cluster may be anywhere, until an overlay says where.</summary>
    public static object ToExternal(string server, int? port, IEnumerable<PublishedService> clients, PublishedPlatform platform) => Policy($"{server}-external", platform, new
    {
        podSelector = Conventions.Selected(clients.Select(client => client.Name)),
        policyTypes = new[] { "Egress" },
        egress = new[]
        {
            new
            {
                to = new[] { new { ipBlock = new { cidr = "0.0.0.0/0" } }, new { ipBlock = new { cidr = "::/0" } } },
                ports = port is { } known ? Ports(known) : null,
            },
        },
    });

    /// <summary>Both sides of the arrows to a database server in the cluster.</summary>
    public static string ToServer(PublishedDatabaseServer server, IEnumerable<PublishedService> clients, PublishedPlatform platform)
    {
        var names = Conventions.Selected(clients.Select(client => client.Name));
        return Manifest.Yaml(Policy(server.Name, platform, new
        {
            podSelector = Conventions.Selected(server.Name),
            policyTypes = new[] { "Ingress", "Egress" },
            ingress = new[] { new { from = new[] { new { podSelector = names } }, ports = Ports(server.Port) } },
        })) + "---\n" + Manifest.Yaml(Policy($"{server.Name}-clients", platform, new
        {
            podSelector = names,
            policyTypes = new[] { "Egress" },
            egress = new[] { new { to = new[] { new { podSelector = Conventions.Selected(server.Name) } }, ports = Ports(server.Port) } },
        }));
    }

    private static object Policy(string name, PublishedPlatform platform, object spec) => new
    {
        apiVersion = "networking.k8s.io/v1",
        kind = "NetworkPolicy",
        metadata = new { name, labels = Conventions.Labels(name, "network", platform.Version) },
        spec,
    };

    private static object Namespace(string name) => new { matchLabels = new Dictionary<string, string> { ["kubernetes.io/metadata.name"] = name } };

    private static object[] Ports(params IEnumerable<int> ports) => [.. ports.Select(port => new { protocol = "TCP", port })];
}
