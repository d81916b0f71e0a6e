using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Logging;

namespace Platform.ResilienceTesting;

/// <summary>The edges of one application and their proxies, which live as long as the application.</summary>
internal sealed class EdgeRegistry(DistributedApplicationModel model, FaultSettings settings, ILoggerFactory loggers) : IAsyncDisposable, IDisposable
{
    private const string Reference = "Reference";

    private readonly Lock _lock = new();
    private readonly Dictionary<(IResource Consumer, IResource Target), Edge> _edges = [];
    private readonly Dictionary<(Edge Edge, string Endpoint), TcpFaultProxy> _proxies = [];
    private readonly ILogger _logger = loggers.CreateLogger("ResilienceTesting");
    private bool _disposed;

    /// <summary>Whether the target's endpoints get proxies.</summary>
    public bool Concerns(IResource target) => settings.Concerns(target);

    /// <summary>Replaces other resources' endpoints in the resource's environment and arguments by proxies.</summary>
    public void Intercept(IDistributedApplicationBuilder builder, IResource resource)
    {
        if (!CanReachProxies(resource))
            return;
        var interception = new Interception(this, resource);
        if (resource is IResourceWithEnvironment)
        {
            resource.Annotations.Add(new EnvironmentCallbackAnnotation(context =>
            {
                foreach (var (name, value) in context.EnvironmentVariables.ToList())
                    context.EnvironmentVariables[name] = interception.Of(value) ?? value;
            }));
        }

        if (resource is IResourceWithArgs withArgs)
        {
            builder.CreateResourceBuilder(withArgs).WithArgs(context =>
            {
                for (var i = 0; i < context.Args.Count; i++)
                    context.Args[i] = interception.Of(context.Args[i]) ?? context.Args[i];
            });
        }
    }

    /// <exception cref="ArgumentException">There is no such edge.</exception>
    public Edge Find(string consumer, string target)
    {
        Discover();
        lock (_lock)
        {
            if (Resource(consumer) is { } from && Resource(target) is { } to)
            {
                var found = Interception.Endpoints(to).Select(endpoint => (IResource)endpoint.Resource).Append(to).Distinct()
                    .Select(owner => _edges.GetValueOrDefault((from, owner))).OfType<Edge>().ToList();
                if (found is [var edge])
                    return edge;
                if (found.Count > 1)
                    throw new ArgumentException($"'{target}' stands for several resources: name one of {string.Join(", ", found.Select(e => e.Target.Name))}.", nameof(target));
                if (!CanReachProxies(from))
                    throw new ArgumentException($"'{consumer}' runs in a container, which does not reach proxies on this machine's loopback interface.", nameof(consumer));
            }

            var unknown = new[] { consumer, target }.Where(name => Resource(name) is null).Select(name => $"There is no resource '{name}'. ");
            var edges = _edges.Values.Select(edge => edge.Name).Order(StringComparer.Ordinal).ToList();
            throw new ArgumentException(
                $"{string.Concat(unknown)}There is no edge {consumer} → {target}. "
                + (edges.Count == 0 ? "The model has no edges." : $"The edges are: {string.Join(", ", edges)}."),
                nameof(target));
        }
    }

    public IReadOnlyList<Edge> All()
    {
        Discover();
        lock (_lock)
            return [.. _edges.Values.OrderBy(edge => edge.Name, StringComparer.Ordinal)];
    }

    /// <summary>The proxy between this consumer and the endpoint, created on first use.</summary>
    public TcpFaultProxy Proxy(IResource consumer, EndpointReference endpoint)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var edge = EdgeBetween(consumer, endpoint.Resource);
            if (!_proxies.TryGetValue((edge, endpoint.EndpointName), out var proxy))
            {
                // The target's address is resolved at each connection, because it may not be known yet and may change.
                var target = new EndpointReference(endpoint.Resource, endpoint.EndpointName);
                proxy = new TcpFaultProxy(cancellationToken => AddressAsync(target, cancellationToken), edge);
                _proxies.Add((edge, endpoint.EndpointName), proxy);
            }

            return proxy;
        }
    }

    public void Dispose()
    {
        foreach (var proxy in End())
            proxy.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var proxy in End())
            await proxy.DisposeAsync();
    }

    // A container has a loopback interface of its own.
    private static bool CanReachProxies(IResource consumer) => consumer is not ContainerResource;

    private static async ValueTask<EndPoint> AddressAsync(EndpointReference endpoint, CancellationToken cancellationToken)
    {
        var host = await endpoint.Property(EndpointProperty.Host).GetValueAsync(cancellationToken);
        var port = await endpoint.Property(EndpointProperty.Port).GetValueAsync(cancellationToken);
        return new DnsEndPoint(host!, int.Parse(port!, CultureInfo.InvariantCulture));
    }

    /// <summary>Adds the edges that the model declares as references. Others are found when the environments are evaluated.</summary>
    private void Discover()
    {
        lock (_lock)
        {
            foreach (var consumer in model.Resources.Where(resource => resource is IResourceWithEnvironment && CanReachProxies(resource)))
            {
                foreach (var reference in consumer.Annotations.OfType<ResourceRelationshipAnnotation>().Where(relationship => relationship.Type == Reference))
                {
                    var owners = reference.Resource is IResourceWithConnectionString
                        ? Interception.Endpoints(reference.Resource).Where(Interception.IsTcp).Select(endpoint => (IResource)endpoint.Resource)
                        : reference.Resource.Annotations.OfType<EndpointAnnotation>().Any(endpoint => endpoint.Protocol == ProtocolType.Tcp) ? [reference.Resource] : [];
                    foreach (var owner in owners.Where(owner => !ReferenceEquals(owner, consumer) && Concerns(owner)))
                        EdgeBetween(consumer, owner);
                }
            }
        }
    }

    private Edge EdgeBetween(IResource consumer, IResource target)
    {
        if (!_edges.TryGetValue((consumer, target), out var edge))
            _edges.Add((consumer, target), edge = new Edge(consumer, target, settings.Seed, settings.Time, _logger));
        return edge;
    }

    private IResource? Resource(string name) => model.Resources.FirstOrDefault(resource => string.Equals(resource.Name, name, StringComparison.OrdinalIgnoreCase));

    private List<TcpFaultProxy> End()
    {
        lock (_lock)
        {
            _disposed = true;
            List<TcpFaultProxy> proxies = [.. _proxies.Values];
            _proxies.Clear();
            return proxies;
        }
    }
}

/// <summary>The combined arguments of all calls of <see cref="FaultExtensions.AddFaults"/>.</summary>
internal sealed class FaultSettings(int? seed, TimeProvider? time, IEnumerable<IResource>? targets)
{
    private HashSet<IResource>? _targets = targets?.ToHashSet();

    public int Seed { get; private set; } = seed ?? FaultInjector.DefaultSeed;

    public TimeProvider Time { get; private set; } = time ?? TimeProvider.System;

    public bool Concerns(IResource target) => _targets?.Contains(target) != false;

    public void Add(int? seed, TimeProvider? time, IEnumerable<IResource>? targets)
    {
        (Seed, Time) = (seed ?? Seed, time ?? Time);
        if (targets is null)
            _targets = null;
        else
            _targets?.UnionWith(targets);
    }
}
