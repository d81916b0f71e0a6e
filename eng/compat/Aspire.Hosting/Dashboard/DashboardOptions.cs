using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;

namespace Aspire.Hosting.Dashboard;

/// <summary>
/// Where the dashboard is and who may use it. Everything can be set as it is for the real AppHost, by environment variables; keys that are not
/// set are made anew for each run.
/// </summary>
internal sealed class DashboardOptions
{
    private DashboardOptions()
    {
    }

    /// <summary>Gets the addresses of the user interface; the first http and the first https one are used.</summary>
    public required IReadOnlyList<BindingAddress> Urls { get; init; }

    /// <summary>Gets where telemetry is taken over gRPC.</summary>
    public BindingAddress? OtlpGrpcUrl { get; init; }

    /// <summary>Gets where telemetry is taken over HTTP.</summary>
    public BindingAddress? OtlpHttpUrl { get; init; }

    /// <summary>Gets where the resource service listens; null for a free port of the loopback interface.</summary>
    public Uri? ResourceServiceUrl { get; init; }

    public bool AllowUnsecuredTransport { get; init; }

    /// <summary>Gets the token that signs a browser in; null lets everyone in.</summary>
    public string? BrowserToken { get; init; }

    /// <summary>Gets the key that telemetry is sent with; null takes everyone's.</summary>
    public string? OtlpApiKey { get; init; }

    /// <summary>Gets the key that programs read telemetry back with; null turns that off.</summary>
    public string? ApiKey { get; init; }

    /// <summary>Gets the key that the dashboard reads resources with; null lets everyone read.</summary>
    public string? ResourceServiceApiKey { get; init; }

    /// <summary>Gets the settings that go to the dashboard as they are.</summary>
    public required IReadOnlyDictionary<string, string> PassedOn { get; init; }

    /// <summary>Gets whether the dashboard lists itself.</summary>
    public bool ShowItself { get; init; }

    /// <summary>Makes the keys that are not set and puts all of them where others look for them, under <c>AppHost:</c>.</summary>
    public static void AddKeys(ConfigurationManager configuration)
    {
        if (IsAnonymous(configuration))
            return;

        configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["AppHost:BrowserToken"] = First(
                configuration, "ASPIRE_DASHBOARD_FRONTEND_BROWSERTOKEN", "DOTNET_DASHBOARD_FRONTEND_BROWSERTOKEN", "AppHost:BrowserToken") ?? NewKey(),
            ["AppHost:ResourceService:ApiKey"] = First(
                configuration, "ASPIRE_DASHBOARD_RESOURCESERVICE_APIKEY", "DOTNET_DASHBOARD_RESOURCESERVICE_APIKEY", "AppHost:ResourceService:ApiKey") ?? NewKey(),
            ["AppHost:OtlpApiKey"] = First(configuration, "AppHost:OtlpApiKey") ?? NewKey(),
        });
    }

    /// <exception cref="DistributedApplicationException">A setting is missing, or is not allowed.</exception>
    public static DashboardOptions Read(IConfiguration configuration, bool allowUnsecuredTransport)
    {
        allowUnsecuredTransport |= Flag(configuration, "ASPIRE_ALLOW_UNSECURED_TRANSPORT");
        var anonymous = IsAnonymous(configuration);

        BindingAddress? Address(string? value, string name)
        {
            if (string.IsNullOrWhiteSpace(value))
                return null;

            BindingAddress address;
            try
            {
                address = BindingAddress.Parse(value);
            }
            catch (FormatException exception)
            {
                throw new DistributedApplicationException($"The {name} setting with a value of '{value}' could not be parsed as a URI.", exception);
            }

            return allowUnsecuredTransport || address.Scheme != Uri.UriSchemeHttp
                ? address
                : throw new DistributedApplicationException(
                    $"The '{name}' setting must be an https address unless the 'ASPIRE_ALLOW_UNSECURED_TRANSPORT' environment variable is set to true.");
        }

        var options = new DashboardOptions
        {
            Urls = [.. (configuration["ASPNETCORE_URLS"] ?? string.Empty).Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                .Select(url => Address(url, "ASPNETCORE_URLS")!).DistinctBy(address => address.Scheme)],
            OtlpGrpcUrl = Address(
                First(configuration, "ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL", "DOTNET_DASHBOARD_OTLP_ENDPOINT_URL"), "ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL"),
            OtlpHttpUrl = Address(
                First(configuration, "ASPIRE_DASHBOARD_OTLP_HTTP_ENDPOINT_URL", "DOTNET_DASHBOARD_OTLP_HTTP_ENDPOINT_URL"), "ASPIRE_DASHBOARD_OTLP_HTTP_ENDPOINT_URL"),
            ResourceServiceUrl = ResourceServiceAddress(
                Address(First(configuration, "ASPIRE_RESOURCE_SERVICE_ENDPOINT_URL", "DOTNET_RESOURCE_SERVICE_ENDPOINT_URL"), "ASPIRE_RESOURCE_SERVICE_ENDPOINT_URL")),
            AllowUnsecuredTransport = allowUnsecuredTransport,
            BrowserToken = anonymous ? null : configuration["AppHost:BrowserToken"],
            OtlpApiKey = anonymous ? null : configuration["AppHost:OtlpApiKey"],
            ApiKey = First(configuration, "AppHost:DashboardApiKey"),
            ResourceServiceApiKey = anonymous ? null : configuration["AppHost:ResourceService:ApiKey"],
            PassedOn = configuration.AsEnumerable()
                .Where(pair => pair.Value is not null && pair.Key.StartsWith("ASPIRE_DASHBOARD_", StringComparison.OrdinalIgnoreCase))
                .ToDictionary(pair => pair.Key, pair => pair.Value!, StringComparer.OrdinalIgnoreCase),
            ShowItself = Flag(configuration, "ASPIRE_SHOW_DASHBOARD_RESOURCES", "DOTNET_ASPIRE_SHOW_DASHBOARD_RESOURCES"),
        };

        if (options.Urls.Count == 0)
            throw new DistributedApplicationException("Failed to configure dashboard resource because ASPNETCORE_URLS environment variable was not set.");
        if (options.OtlpGrpcUrl is null && options.OtlpHttpUrl is null)
        {
            throw new DistributedApplicationException(
                "Failed to configure dashboard resource because ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL and ASPIRE_DASHBOARD_OTLP_HTTP_ENDPOINT_URL "
                + "environment variables are not set. At least one OTLP endpoint must be provided.");
        }

        return options;
    }

    private static Uri? ResourceServiceAddress(BindingAddress? address)
    {
        if (address is null)
            return null;

        var uri = new Uri(address.ToString());
        return uri.IsLoopback ? uri : throw new ArgumentException("ASPIRE_RESOURCE_SERVICE_ENDPOINT_URL must contain a local loopback address.");
    }

    private static bool IsAnonymous(IConfiguration configuration) =>
        Flag(configuration, "ASPIRE_DASHBOARD_UNSECURED_ALLOW_ANONYMOUS", "DOTNET_DASHBOARD_UNSECURED_ALLOW_ANONYMOUS");

    private static string NewKey() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));

    private static string? First(IConfiguration configuration, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (configuration[name] is { Length: > 0 } value)
                return value;
        }

        return null;
    }

    private static bool Flag(IConfiguration configuration, params ReadOnlySpan<string> names) =>
        First(configuration, names) is { } value && (value == "1" || (bool.TryParse(value, out var flag) && flag));
}
