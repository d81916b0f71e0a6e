using System.Globalization;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Health;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Registers clients of the platform's other services.</summary>
public static class ServiceClientExtensions
{
    /// <summary>
    /// Adds the typed client <typeparamref name="TClient"/> of the service <paramref name="name"/>: its base address is
    /// <c>https+http://name</c> through service discovery, or <c>NAME_URL</c> (<c>TEMPLATE_REGISTRY_URL</c>) when that is configured. Each request carries
    /// the internal token, the correlation id and the attempt's number, and those never go to another host: redirects are not followed.
    /// The service appears in <c>/health</c> as a dependency that this one can do without.
    /// </summary>
    public static IHttpClientBuilder AddServiceClient<TClient>(this IHostApplicationBuilder builder, string name) where TClient : class
    {
        var address = AddressOf(builder.Configuration, name);
        return AddServiceCalls(builder, builder.Services.AddHttpClient<TClient>(client => client.BaseAddress = address), name, address);
    }

    /// <summary>As <see cref="AddServiceClient{TClient}"/>, for code that takes the client <paramref name="clientName"/> from <see cref="IHttpClientFactory"/>.</summary>
    public static IHttpClientBuilder AddServiceClient(this IHostApplicationBuilder builder, string clientName, string name)
    {
        var address = AddressOf(builder.Configuration, name);
        return AddServiceCalls(builder, builder.Services.AddHttpClient(clientName, client => client.BaseAddress = address), name, address);
    }

    private static IHttpClientBuilder AddServiceCalls(IHostApplicationBuilder builder, IHttpClientBuilder client, string name, Uri address)
    {
        if (!builder.Services.Any(service => service.ImplementationInstance is DependencyCheck check && check.Name == name))
        {
            builder.Services.AddDependencyCheck(name, (services, cancellationToken) => IsReadyAsync(services, client.Name, cancellationToken), required: false);
        }

        return client
            // outermost, where the address is still the one that the caller asked for and not what discovery made of it
            .ConfigureAdditionalHttpMessageHandlers((handlers, _) => handlers.Insert(0, new DestinationHandler(address)))
            // innermost, run for each send
            .ConfigureAdditionalHttpMessageHandlers((handlers, services) => handlers.Add(new ServiceCallHandler(services.GetRequiredService<InternalTokens>())));
    }

    private static async Task<bool> IsReadyAsync(IServiceProvider services, string clientName, CancellationToken cancellationToken)
    {
        using var client = services.GetRequiredService<IHttpClientFactory>().CreateClient(clientName);
        using var response = await client.GetAsync(new Uri("/ready", UriKind.Relative), cancellationToken);
        return response.IsSuccessStatusCode;
    }

    private static Uri AddressOf(IConfiguration configuration, string name)
    {
        var variable = name.ToUpperInvariant().Replace('-', '_') + "_URL";
        return configuration[variable] is not { Length: > 0 } url ? new($"https+http://{name}")
            : Uri.TryCreate(url, UriKind.Absolute, out var address) && address.Scheme is "http" or "https" ? address
            : throw new InvalidOperationException($"{variable} must be an absolute http or https address, and is '{url}'.");
    }
}

/// <summary>Marks the requests that go to the configured service; only those get its headers.</summary>
internal sealed class DestinationHandler(Uri address) : DelegatingHandler
{
    public static readonly HttpRequestOptionsKey<bool> IsConfigured = new("platform.configured-service");

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        request.Options.Set(IsConfigured, request.RequestUri is { } uri
            && uri.Scheme == address.Scheme
            && string.Equals(uri.Authority, address.Authority, StringComparison.OrdinalIgnoreCase));
        return base.SendAsync(request, cancellationToken);
    }
}

/// <summary>Sets what each send to a service carries.</summary>
internal sealed class ServiceCallHandler(InternalTokens tokens) : DelegatingHandler
{
    private static readonly HttpRequestOptionsKey<int> Attempt = new("platform.attempt");

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var configured = request.Options.TryGetValue(DestinationHandler.IsConfigured, out var value) && value;
        request.Options.TryGetValue(Attempt, out var attempt);
        request.Options.Set(Attempt, ++attempt);
        Set(request, CommunicationHeaders.RequestAttempt, configured ? attempt.ToString(CultureInfo.InvariantCulture) : null);
        Set(request, CorrelationContext.HeaderName, configured ? CorrelationContext.Current : null);
        Set(request, InternalTokens.HeaderName, configured ? tokens.Current : null);
        return base.SendAsync(request, cancellationToken);
    }

    private static void Set(HttpRequestMessage request, string name, string? value)
    {
        request.Headers.Remove(name);
        if (value is not null)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }
    }
}
