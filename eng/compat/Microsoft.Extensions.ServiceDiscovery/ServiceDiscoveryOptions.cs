using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.ServiceDiscovery;

/// <summary>Options of service discovery.</summary>
public sealed class ServiceDiscoveryOptions
{
    /// <summary>Gets or sets whether endpoints of every scheme may be used. Default: true.</summary>
    public bool AllowAllSchemes { get; set; } = true;

    /// <summary>Gets or sets how long a result holds when its providers cannot tell that it has changed. Default: 60 s.</summary>
    public TimeSpan RefreshPeriod { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>Gets or sets the schemes that may be used when <see cref="AllowAllSchemes"/> is false. Default: none.</summary>
    public IList<string> AllowedSchemes { get; set; } = [];

    /// <summary>Gets those of the requested schemes that may be used; when none is requested, those that are allowed.</summary>
    public IReadOnlyList<string> ApplyAllowedSchemes(IReadOnlyList<string> requestedSchemes)
    {
        ArgumentNullException.ThrowIfNull(requestedSchemes);
        if (requestedSchemes.Count == 0)
            return AllowedSchemes.AsReadOnly();

        return AllowAllSchemes
            ? requestedSchemes
            : [.. requestedSchemes.Where(scheme => AllowedSchemes.Contains(scheme, StringComparer.OrdinalIgnoreCase))];
    }
}

/// <summary>Options of the endpoints that come from configuration.</summary>
public sealed class ConfigurationServiceEndpointProviderOptions
{
    /// <summary>Gets or sets the section that holds the services. Default: <c>Services</c>.</summary>
    public string SectionName { get; set; } = "Services";

    /// <summary>Gets or sets whether an endpoint is sent the service's name as the host. Default: no endpoint is.</summary>
    public Func<ServiceEndpoint, bool> ShouldApplyHostNameMetadata { get; set; } = _ => false;
}

internal sealed class ServiceDiscoveryOptionsValidator : IValidateOptions<ServiceDiscoveryOptions>
{
    public ValidateOptionsResult Validate(string? name, ServiceDiscoveryOptions options) => options.AllowedSchemes is null
        ? ValidateOptionsResult.Fail($"{nameof(options.AllowedSchemes)} must not be null.")
        : ValidateOptionsResult.Success;
}

internal sealed class ConfigurationServiceEndpointProviderOptionsValidator : IValidateOptions<ConfigurationServiceEndpointProviderOptions>
{
    public ValidateOptionsResult Validate(string? name, ConfigurationServiceEndpointProviderOptions options) => options switch
    {
        { SectionName: null or "" } => ValidateOptionsResult.Fail($"{nameof(options.SectionName)} must not be null or empty."),
        { ShouldApplyHostNameMetadata: null } => ValidateOptionsResult.Fail($"{nameof(options.ShouldApplyHostNameMetadata)} must not be null."),
        _ => ValidateOptionsResult.Success,
    };
}
