using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Microsoft.Extensions.ServiceDiscovery;

/// <summary>Finds addresses of one service.</summary>
public interface IServiceEndpointProvider : IAsyncDisposable
{
    /// <summary>Adds what it finds.</summary>
    ValueTask PopulateAsync(IServiceEndpointBuilder endpoints, CancellationToken cancellationToken);
}

/// <summary>Creates the providers of services.</summary>
public interface IServiceEndpointProviderFactory
{
    /// <summary>Tries to create a provider.</summary>
    bool TryCreateProvider(ServiceEndpointQuery query, [NotNullWhen(true)] out IServiceEndpointProvider? provider);
}

/// <summary>Collects what the providers of a service find, in their order of registration.</summary>
public interface IServiceEndpointBuilder
{
    /// <summary>Gets the addresses found so far.</summary>
    IList<ServiceEndpoint> Endpoints { get; }

    /// <summary>Gets what else is known.</summary>
    IFeatureCollection Features { get; }

    /// <summary>Adds a token that changes when the service is to be resolved again.</summary>
    void AddChangeToken(IChangeToken changeToken);
}

/// <summary>The host name to send to an endpoint.</summary>
public interface IHostNameFeature
{
    /// <summary>Gets the host name.</summary>
    string HostName { get; }
}
