using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.ServiceDiscovery;

/// <summary>An endpoint that is a whole address, with scheme and perhaps a path.</summary>
internal sealed class UriEndPoint(Uri uri) : EndPoint
{
    public Uri Uri => uri;

    public override string ToString() => uri.ToString();
}

internal sealed class ConfigurationServiceEndpointProviderFactory(
    IConfiguration configuration,
    IOptions<ConfigurationServiceEndpointProviderOptions> options,
    IOptions<ServiceDiscoveryOptions> discoveryOptions) : IServiceEndpointProviderFactory
{
    public bool TryCreateProvider(ServiceEndpointQuery query, [NotNullWhen(true)] out IServiceEndpointProvider? provider)
    {
        provider = new ConfigurationServiceEndpointProvider(query, configuration, options.Value, discoveryOptions.Value);
        return true;
    }
}

/// <summary>Reads <c>services:NAME:ENDPOINT:N</c>, where the endpoint is the one asked for by name, else <c>default</c> or the scheme.</summary>
internal sealed class ConfigurationServiceEndpointProvider(
    ServiceEndpointQuery query,
    IConfiguration configuration,
    ConfigurationServiceEndpointProviderOptions options,
    ServiceDiscoveryOptions discoveryOptions) : IServiceEndpointProvider, IHostNameFeature
{
    private readonly IReadOnlyList<string> _schemes = discoveryOptions.ApplyAllowedSchemes(query.IncludedSchemes);
    private readonly bool _anyScheme = discoveryOptions.AllowAllSchemes && query.IncludedSchemes.Count == 0;

    string IHostNameFeature.HostName => query.ServiceName;

    public ValueTask PopulateAsync(IServiceEndpointBuilder endpoints, CancellationToken cancellationToken)
    {
        if (endpoints.Endpoints.Count > 0)
            return ValueTask.CompletedTask;

        endpoints.AddChangeToken(configuration.GetReloadToken());
        if (FindEndpoint(configuration.GetSection(options.SectionName).GetSection(query.ServiceName)) is not { } section)
            return ValueTask.CompletedTask;

        var found = Read(section).ToList();
        var preferred = found.Select(Rank).Where(rank => rank >= 0).DefaultIfEmpty(int.MaxValue).Min();
        foreach (var endpoint in found)
        {
            // Addresses of the most preferred scheme only, and those that have none.
            if (_anyScheme || endpoint.EndPoint is not UriEndPoint || Rank(endpoint) == preferred)
                endpoints.Endpoints.Add(endpoint);
        }

        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    public override string ToString() => "Configuration";

    private IConfigurationSection? FindEndpoint(IConfigurationSection service)
    {
        IEnumerable<string> names = string.IsNullOrWhiteSpace(query.EndpointName) ? ["default", .. _schemes] : [query.EndpointName];
        return names.Select(service.GetSection).FirstOrDefault(section => section.Exists());
    }

    private IEnumerable<ServiceEndpoint> Read(IConfigurationSection endpoint)
    {
        if (!string.IsNullOrWhiteSpace(endpoint.Value))
            return [Parse(endpoint)];

        return endpoint.GetChildren().Select(child => int.TryParse(child.Key, CultureInfo.InvariantCulture, out _)
            ? Parse(child)
            : throw new KeyNotFoundException($"The configuration of service '{query.ServiceName}' has the non-numeric key '{child.Path}'."));
    }

    private ServiceEndpoint Parse(IConfigurationSection section)
    {
        var value = section.Value;
        EndPoint? endPoint = null;
        if (!string.IsNullOrWhiteSpace(value))
        {
            if (value.Contains("://", StringComparison.Ordinal))
                endPoint = Uri.TryCreate(value, UriKind.Absolute, out var uri) ? new UriEndPoint(uri) : null;
            else
                endPoint = HostEndPoint.Parse(value);
        }

        if (endPoint is null)
            throw new KeyNotFoundException($"The configuration of service '{query.ServiceName}' has an invalid address at '{section.Path}'.");

        var endpoint = ServiceEndpoint.Create(endPoint);
        endpoint.Features.Set<IServiceEndpointProvider>(this);
        if (options.ShouldApplyHostNameMetadata(endpoint))
            endpoint.Features.Set<IHostNameFeature>(this);
        return endpoint;
    }

    private int Rank(ServiceEndpoint endpoint)
    {
        if (endpoint.EndPoint is UriEndPoint { Uri.Scheme: var scheme })
        {
            for (var i = 0; i < _schemes.Count; i++)
            {
                if (string.Equals(_schemes[i], scheme, StringComparison.OrdinalIgnoreCase))
                    return i;
            }
        }

        return -1;
    }
}
