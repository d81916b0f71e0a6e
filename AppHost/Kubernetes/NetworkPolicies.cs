using k8s.Models;

namespace Platform.AppHost.Kubernetes;

/// <summary>Allows the connections that the app model has a reference for, and denies all others.</summary>
internal static class NetworkPolicies
{
    /// <summary>For every pod: nothing in, and nothing out except DNS queries.</summary>
    public static string OfNamespace(PublishedPlatform platform) => Manifest.Documents(
        Policy("default-deny", platform, new(), ["Ingress", "Egress"]),
        Policy("dns", platform, new(), ["Egress"], egress:
        [
            new()
            {
                To = [new() { NamespaceSelector = Namespace("kube-system"), PodSelector = new() { MatchLabels = new Dictionary<string, string> { ["k8s-app"] = "kube-dns" } } }],
                Ports = [new() { Protocol = "UDP", Port = 53 }, new() { Protocol = "TCP", Port = 53 }],
            },
        ]));

    /// <summary>Calls from and to other services, telemetry, Prometheus, and for a public service its Ingress.</summary>
    public static V1NetworkPolicy Of(PublishedService service, PublishedPlatform platform)
    {
        var ingress = new List<V1NetworkPolicyIngressRule>();
        foreach (var port in service.Ports)
        {
            var callers = platform.Services.Where(caller => caller.Calls.Contains(new(service.Name, port.ContainerPort))).ToList();
            if (callers.Count > 0)
                ingress.Add(From(callers.Select(caller => Pods(Conventions.Selected(caller.Name))), port.ContainerPort));
        }

        if (service.Http is { } http)
            ingress.Add(From([InNamespace(Conventions.MonitoringNamespace)], http.ContainerPort));
        if (service.External is { } external)
            ingress.Add(From([InNamespace(Conventions.IngressNamespace)], external.ContainerPort));

        return Policy(service.Name, platform, Conventions.Selected(service.Name), ["Ingress", "Egress"], ingress.Count > 0 ? ingress : null,
        [
            .. service.Calls.Select(call => To([Pods(Conventions.Selected(call.Target))], call.Port)),
            To([InNamespace(Conventions.MonitoringNamespace)], Conventions.OtlpPorts),
        ]);
    }

    /// <summary>Connections out of the cluster may go to any address, until an overlay names the addresses.</summary>
    public static V1NetworkPolicy ToExternal(string server, int? port, IEnumerable<PublishedService> clients, PublishedPlatform platform) =>
        Policy($"{server}-external", platform, Conventions.Selected(clients.Select(client => client.Name)), ["Egress"],
            egress: [To([Addresses("0.0.0.0/0"), Addresses("::/0")], port is { } known ? [known] : [])]);

    /// <summary>Connections to a database server in the cluster, allowed at both ends.</summary>
    public static string ToServer(PublishedDatabaseServer server, IEnumerable<PublishedService> clients, PublishedPlatform platform)
    {
        var names = Conventions.Selected(clients.Select(client => client.Name));
        return Manifest.Documents(
            Policy(server.Name, platform, Conventions.Selected(server.Name), ["Ingress", "Egress"], [From([Pods(names)], server.Port)]),
            Policy($"{server.Name}-clients", platform, names, ["Egress"], egress: [To([Pods(Conventions.Selected(server.Name))], server.Port)]));
    }

    private static V1NetworkPolicy Policy(string name, PublishedPlatform platform, V1LabelSelector pods, IList<string> types,
        IList<V1NetworkPolicyIngressRule>? ingress = null, IList<V1NetworkPolicyEgressRule>? egress = null) => new()
        {
            Metadata = new() { Name = name, Labels = Conventions.Labels(name, "network", platform.Version) },
            Spec = new() { PodSelector = pods, PolicyTypes = types, Ingress = ingress, Egress = egress },
        };

    private static V1NetworkPolicyIngressRule From(IEnumerable<V1NetworkPolicyPeer> peers, params int[] ports) => new() { FromProperty = [.. peers], Ports = Ports(ports) };

    private static V1NetworkPolicyEgressRule To(IEnumerable<V1NetworkPolicyPeer> peers, params int[] ports) => new() { To = [.. peers], Ports = Ports(ports) };

    private static V1NetworkPolicyPeer Pods(V1LabelSelector selector) => new() { PodSelector = selector };

    private static V1NetworkPolicyPeer InNamespace(string name) => new() { NamespaceSelector = Namespace(name) };

    private static V1NetworkPolicyPeer Addresses(string cidr) => new() { IpBlock = new() { Cidr = cidr } };

    private static V1LabelSelector Namespace(string name) => new() { MatchLabels = new Dictionary<string, string> { ["kubernetes.io/metadata.name"] = name } };

    // Null rather than an empty list, so that the field is left out.
    private static List<V1NetworkPolicyPort>? Ports(params int[] ports) => ports.Length > 0 ? [.. ports.Select(port => new V1NetworkPolicyPort { Protocol = "TCP", Port = port })] : null;
}
