using System.Net;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Registers clients of the platform's other services.</summary>
public static class ServiceClientExtensions
{
    /// <summary>
    /// Adds the typed client <typeparamref name="TClient"/> of the service <paramref name="name"/>: its base address is
    /// <c>https+http://name</c> through service discovery, or <c>NAME_URL</c> (<c>TEMPLATE_REGISTRY_URL</c>) when that is configured. Each request carries
    /// the internal token, the correlation id and the attempt's number, and those never go to another host: redirects are not followed.
    /// </summary>
    public static IHttpClientBuilder AddServiceClient<TClient>(this IHostApplicationBuilder builder, string name) where TClient : class =>
        builder.Services.AddHttpClient<TClient>(client => client.BaseAddress = AddressOf(builder.Configuration, name)).AddServiceCalls();

    /// <summary>As <see cref="AddServiceClient{TClient}"/>, for code that takes the client by name from <see cref="IHttpClientFactory"/>.</summary>
    public static IHttpClientBuilder AddServiceClient(this IHostApplicationBuilder builder, string clientName, string name) =>
        builder.Services.AddHttpClient(clientName, client => client.BaseAddress = AddressOf(builder.Configuration, name)).AddServiceCalls();

    private static IHttpClientBuilder AddServiceCalls(this IHttpClientBuilder builder)
    {
        builder.Services.AddTransient<ServiceCallHandler>();
        return builder.AddHttpMessageHandler<ServiceCallHandler>()
            .ConfigurePrimaryHttpMessageHandler(() => new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false, ConnectTimeout = TimeSpan.FromSeconds(1), AutomaticDecompression = DecompressionMethods.All });
    }

    private static Uri AddressOf(IConfiguration configuration, string name) =>
        new(configuration[name.ToUpperInvariant().Replace('-', '_') + "_URL"] is { Length: > 0 } url ? url : $"https+http://{name}");
}

internal sealed class ServiceCallHandler(InternalTokens tokens) : DelegatingHandler
{
    private static readonly HttpRequestOptionsKey<int> Attempt = new("platform.attempt");

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        request.Options.TryGetValue(Attempt, out var attempt);
        request.Options.Set(Attempt, ++attempt);
        Set(request, CommunicationHeaders.RequestAttempt, attempt.ToString(System.Globalization.CultureInfo.InvariantCulture));
        Set(request, CorrelationContext.HeaderName, CorrelationContext.Current);
        Set(request, InternalTokens.HeaderName, tokens.Current);
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
