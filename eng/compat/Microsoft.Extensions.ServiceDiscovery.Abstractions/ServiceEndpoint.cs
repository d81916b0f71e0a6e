using System.Net;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Microsoft.Extensions.ServiceDiscovery;

/// <summary>One address of a service.</summary>
public abstract class ServiceEndpoint
{
    /// <summary>Gets the address.</summary>
    public abstract EndPoint EndPoint { get; }

    /// <summary>Gets what else is known of the endpoint.</summary>
    public abstract IFeatureCollection Features { get; }

    /// <summary>Creates an endpoint.</summary>
    public static ServiceEndpoint Create(EndPoint endPoint, IFeatureCollection? features = null)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        return new Plain(endPoint, features ?? new FeatureCollection());
    }

    private sealed class Plain(EndPoint endPoint, IFeatureCollection features) : ServiceEndpoint
    {
        public override EndPoint EndPoint => endPoint;

        public override IFeatureCollection Features => features;

        public override string? ToString() => endPoint switch
        {
            IPEndPoint { Port: 0 } ip => ip.Address.ToString(),
            DnsEndPoint { Port: 0 } dns => dns.Host,
            DnsEndPoint dns => $"{dns.Host}:{dns.Port}",
            _ => endPoint.ToString(),
        };
    }
}

/// <summary>The addresses of a service, and the sign that they have changed.</summary>
public sealed class ServiceEndpointSource
{
    private readonly List<ServiceEndpoint>? _endpoints;

    /// <summary>Creates the result of a resolution.</summary>
    public ServiceEndpointSource(List<ServiceEndpoint>? endpoints, IChangeToken changeToken, IFeatureCollection features)
    {
        ArgumentNullException.ThrowIfNull(changeToken);
        _endpoints = endpoints;
        ChangeToken = changeToken;
        Features = features;
    }

    /// <summary>Gets the addresses; may be none.</summary>
    public IReadOnlyList<ServiceEndpoint> Endpoints => _endpoints is null ? [] : _endpoints;

    /// <summary>Gets the token that has changed when the addresses are to be resolved again.</summary>
    public IChangeToken ChangeToken { get; }

    /// <summary>Gets what else is known.</summary>
    public IFeatureCollection Features { get; }

    /// <inheritdoc/>
    public override string ToString() => _endpoints is null ? "[]" : $"[{string.Join(", ", _endpoints)}]";
}
