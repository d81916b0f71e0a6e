using System.Globalization;
using System.Net.Sockets;
using Aspire.Hosting.ApplicationModel;

namespace Platform.ResilienceTesting;

/// <summary>
/// Replaces other resources' endpoints in the values given to one resource. It replaces the parts of structured values instead of searching the text, where a
/// port number or host name may occur by chance.
/// </summary>
internal sealed class Interception(EdgeRegistry edges, IResource consumer)
{
    /// <summary>All endpoints that a value contains.</summary>
    public static IEnumerable<EndpointReference> Endpoints(object? value) => value switch
    {
        EndpointReference endpoint => [endpoint],
        EndpointReferenceExpression expression => [expression.Endpoint],
        ReferenceExpression expression => expression.ValueProviders.SelectMany(Endpoints),
        ConnectionStringReference reference => Endpoints(reference.Resource),
        IResourceWithConnectionString resource => Endpoints(resource.ConnectionStringExpression),
        IResourceBuilder<IResource> { Resource: IResourceWithConnectionString resource } => Endpoints(resource),
        _ => [],
    };

    public static bool IsTcp(EndpointReference endpoint) => endpoint.Exists && endpoint.EndpointAnnotation.Protocol == ProtocolType.Tcp;

    /// <summary>The value with endpoints replaced by proxies; null if there is nothing to replace.</summary>
    public IValueProvider? Of(object? value) => value switch
    {
        EndpointReference endpoint when Concerns(endpoint) => new ProxiedEndpoint(this, endpoint, EndpointProperty.Url, endpoint),
        // TargetPort is not replaced: it is the port that the target listens on, and consumers don't connect to it.
        EndpointReferenceExpression { Property: EndpointProperty.Url or EndpointProperty.Host or EndpointProperty.IPV4Host or EndpointProperty.Port or EndpointProperty.HostAndPort } expression
            when Concerns(expression.Endpoint) => new ProxiedEndpoint(this, expression.Endpoint, expression.Property, expression),
        ReferenceExpression { Format.Length: > 0 } expression => OfExpression(expression),
        ConnectionStringReference reference => Of(reference.Resource),
        IResourceWithConnectionString resource => Of(resource.ConnectionStringExpression) is { } replaced ? new ProxiedConnectionString(resource, replaced) : null,
        IResourceBuilder<IResource> { Resource: IResourceWithConnectionString resource } => Of(resource),
        _ => null,
    };

    private bool Concerns(EndpointReference endpoint) => !ReferenceEquals(endpoint.Resource, consumer) && IsTcp(endpoint) && edges.Concerns(endpoint.Resource);

    private ProxiedExpression? OfExpression(ReferenceExpression expression)
    {
        var replaced = expression.ValueProviders.Select(Of).ToList();
        return replaced.TrueForAll(part => part is null)
            ? null
            : new ProxiedExpression(expression, [.. expression.ValueProviders.Zip(replaced, (original, replacement) => replacement ?? original)]);
    }

    /// <summary>A replaced value that keeps the original's references and manifest expression, so that dependencies and secrets are still recognised.</summary>
    private abstract class Replacement(object original) : IValueProvider, IManifestExpressionProvider, IValueWithReferences
    {
        public string ValueExpression => ((IManifestExpressionProvider)original).ValueExpression;

        public IEnumerable<object> References => [original];

        public abstract ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default);
    }

    private sealed class ProxiedEndpoint(Interception interception, EndpointReference endpoint, EndpointProperty property, object original) : Replacement(original)
    {
        public override ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default)
        {
            var proxy = interception.Proxy(endpoint);
            // The development certificate is issued for localhost, not for the address.
            var host = endpoint.TlsEnabled && property != EndpointProperty.IPV4Host ? "localhost" : proxy.EndPoint.Address.ToString();
            var port = proxy.Port.ToString(CultureInfo.InvariantCulture);
            return ValueTask.FromResult<string?>(property switch
            {
                EndpointProperty.Host or EndpointProperty.IPV4Host => host,
                EndpointProperty.Port => port,
                EndpointProperty.HostAndPort => $"{host}:{port}",
                _ => $"{endpoint.Scheme}://{host}:{port}",
            });
        }
    }

    private sealed class ProxiedExpression(ReferenceExpression original, IValueProvider[] parts) : Replacement(original)
    {
        public override async ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default)
        {
            var values = new object?[parts.Length];
            for (var i = 0; i < parts.Length; i++)
            {
                var value = await parts[i].GetValueAsync(cancellationToken);
                values[i] = original.StringFormats[i] == "uri" && value is not null ? Uri.EscapeDataString(value) : value;
            }

            return string.Format(CultureInfo.InvariantCulture, original.Format, values);
        }
    }

    private sealed class ProxiedConnectionString(IResourceWithConnectionString original, IValueProvider replaced) : Replacement(original)
    {
        public override ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default) => replaced.GetValueAsync(cancellationToken);
    }

    private TcpFaultProxy Proxy(EndpointReference endpoint) => edges.Proxy(consumer, endpoint);
}
