using System.Diagnostics.CodeAnalysis;
using System.Net;

namespace Microsoft.Extensions.ServiceDiscovery;

internal static class HostEndPoint
{
    /// <summary>Reads <c>host</c> or <c>host:port</c>; null when it is neither. Port 0 stands for the scheme's own.</summary>
    public static EndPoint? Parse(string value) =>
        Uri.TryCreate($"any://{value}", UriKind.Absolute, out var uri) ? Create(uri.Host, uri.Port) : null;

    public static EndPoint? Create(string host, int port)
    {
        port = Math.Max(port, 0);
        if (IPAddress.TryParse(host, out var address))
            return new IPEndPoint(address, port);

        return host.Length == 0 ? null : new DnsEndPoint(host, port);
    }
}

internal sealed class PassThroughServiceEndpointProviderFactory : IServiceEndpointProviderFactory
{
    public bool TryCreateProvider(ServiceEndpointQuery query, [NotNullWhen(true)] out IServiceEndpointProvider? provider)
    {
        var input = query.ToString()!;
        var text = input.Contains("://", StringComparison.Ordinal) ? input : $"any://{input}";
        var port = Uri.TryCreate(text, UriKind.Absolute, out var uri) ? uri.Port : 0;
        provider = new PassThroughServiceEndpointProvider(HostEndPoint.Create(query.ServiceName, port) ?? new DnsEndPoint(input, 0));
        return true;
    }
}

/// <summary>Takes the service's name for its host when nothing else is known.</summary>
internal sealed class PassThroughServiceEndpointProvider(EndPoint endPoint) : IServiceEndpointProvider
{
    public ValueTask PopulateAsync(IServiceEndpointBuilder endpoints, CancellationToken cancellationToken)
    {
        if (endpoints.Endpoints.Count == 0)
        {
            var endpoint = ServiceEndpoint.Create(endPoint);
            endpoint.Features.Set<IServiceEndpointProvider>(this);
            endpoints.Endpoints.Add(endpoint);
        }

        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    public override string ToString() => "Pass-through";
}
