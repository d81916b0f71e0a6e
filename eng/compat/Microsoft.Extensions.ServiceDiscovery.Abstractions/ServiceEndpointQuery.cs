using System.Diagnostics.CodeAnalysis;

namespace Microsoft.Extensions.ServiceDiscovery;

/// <summary>What is asked: <c>[schemes://][_endpoint.]service</c>, schemes in order of preference and separated by <c>+</c>.</summary>
public sealed class ServiceEndpointQuery
{
    private readonly string _input;

    private ServiceEndpointQuery(string input, IReadOnlyList<string> includedSchemes, string serviceName, string? endpointName)
    {
        _input = input;
        IncludedSchemes = includedSchemes;
        ServiceName = serviceName;
        EndpointName = endpointName;
    }

    /// <summary>Gets the schemes in order of preference; none means any.</summary>
    public IReadOnlyList<string> IncludedSchemes { get; }

    /// <summary>Gets the endpoint's name, or null.</summary>
    public string? EndpointName { get; }

    /// <summary>Gets the service's name.</summary>
    public string ServiceName { get; }

    /// <summary>Reads a query.</summary>
    public static bool TryParse(string input, [NotNullWhen(true)] out ServiceEndpointQuery? query)
    {
        ArgumentException.ThrowIfNullOrEmpty(input);
        query = null;

        var hasScheme = input.Contains("://", StringComparison.Ordinal);
        if (!Uri.TryCreate(hasScheme ? input : $"any://{input}", UriKind.Absolute, out var uri))
            return false;

        var (host, endpointName) = (uri.Host, (string?)null);
        var dot = host.IndexOf('.', StringComparison.Ordinal);
        if (host.StartsWith('_') && dot > 1 && !host.EndsWith('.'))
            (host, endpointName) = (host[(dot + 1)..], host[1..dot]);

        query = new ServiceEndpointQuery(input, hasScheme ? uri.Scheme.Split('+') : [], host, endpointName);
        return true;
    }

    /// <inheritdoc/>
    public override string? ToString() => _input;
}
