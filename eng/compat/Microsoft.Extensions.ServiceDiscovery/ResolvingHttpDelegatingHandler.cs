using System.Net;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.ServiceDiscovery;

/// <summary>Sends each request to the next endpoint of the service that its address names.</summary>
internal sealed class ResolvingHttpDelegatingHandler(ServiceEndpointCache cache, IOptions<ServiceDiscoveryOptions> options) : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (request.RequestUri is not { } logical)
            throw new InvalidOperationException("Cannot resolve an endpoint for a request which has no RequestUri");

        var (source, entry) = await cache.GetAsync(logical.GetLeftPart(UriPartial.Authority), cancellationToken);
        var endpoint = entry.Next(source);
        request.RequestUri = AddressAt(logical, endpoint.EndPoint);
        request.Headers.Host ??= endpoint.Features.Get<IHostNameFeature>()?.HostName;
        try
        {
            return await base.SendAsync(request, cancellationToken);
        }
        finally
        {
            // An outer handler may send the request again, to whichever endpoint is next then.
            request.RequestUri = logical;
        }
    }

    private Uri AddressAt(Uri logical, EndPoint endPoint)
    {
        var address = new UriBuilder(logical);
        if (endPoint is UriEndPoint { Uri: var uri })
        {
            address.Scheme = uri.Scheme;
            address.Host = uri.Host;
            if (uri.Port > 0)
                address.Port = uri.Port;
            if (uri.AbsolutePath.Length > 1)
                address.Path = $"{uri.AbsolutePath.TrimEnd('/')}/{logical.AbsolutePath.TrimStart('/')}";
            return address.Uri;
        }

        (address.Host, var port) = endPoint switch
        {
            IPEndPoint ip => (ip.Address.ToString(), ip.Port),
            DnsEndPoint dns => (dns.Host, dns.Port),
            _ => throw new InvalidOperationException($"Endpoints of type {endPoint.GetType()} are not supported"),
        };
        if (port > 0)
            address.Port = port;

        if (logical.Scheme.Contains('+', StringComparison.Ordinal))
        {
            var first = logical.Scheme.Split('+')[0];
            if (!options.Value.AllowAllSchemes && !options.Value.AllowedSchemes.Contains(first, StringComparer.OrdinalIgnoreCase))
                throw new InvalidOperationException($"The scheme '{first}' is not allowed.");
            address.Scheme = first;
        }

        return address.Uri;
    }
}
