using Platform.ServiceDefaults.Security;
using Polly;
using Polly.RateLimiting;
using Polly.Timeout;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Registers clients of the platform's other services.</summary>
public static class ServiceClientExtensions
{
    /// <summary>
    /// Adds the typed client <typeparamref name="TClient"/> of the service <paramref name="name"/>: its base address is
    /// <c>https+http://name</c> through service discovery, or <c>NAME_URL</c> (<c>TEMPLATE_REGISTRY_URL</c>) when that is configured; its policy is
    /// <see cref="ServiceClientOptions"/> from <c>Services:name</c>. Each attempt carries the internal token, the correlation id, its number and its time limit. These never
    /// reach another host: the client only calls its service and does not follow redirects. The service appears in <c>/health</c> as an optional dependency.
    /// </summary>
    /// <remarks>An invalid policy fails the start with an <see cref="OptionsValidationException"/> that names key, value and range.</remarks>
    public static IHttpClientBuilder AddServiceClient<TClient>(this IHostApplicationBuilder builder, string name) where TClient : class =>
        builder.Services.AddHttpClient<TClient>().AddServiceCalls(builder, name);

    /// <summary>Like <see cref="AddServiceClient{TClient}"/>, for code that gets the client <paramref name="clientName"/> from <see cref="IHttpClientFactory"/>.</summary>
    public static IHttpClientBuilder AddServiceClient(this IHostApplicationBuilder builder, string clientName, string name) =>
        builder.Services.AddHttpClient(clientName).AddServiceCalls(builder, name);

    private static IHttpClientBuilder AddServiceCalls(this IHttpClientBuilder client, IHostApplicationBuilder builder, string name)
    {
        var address = AddressOf(builder.Configuration, name);
        if (!builder.Services.Any(service => service.ImplementationInstance is DestinationRegistration known && known.Name == name))
        {
            builder.Services.AddDestination(
                name, (services, cancellationToken) => services.GetRequiredService<ReadinessProbe>().FindErrorAsync(name, cancellationToken), probeIsUse: false, required: false);
            // Outside of the pipeline: the probe must be neither refused by the breaker nor retried.
            builder.Services.AddHttpClient(ReadinessProbe.ClientName(name)).ToService(address).AddServiceDiscovery();
        }

        return client.ToService(address)
            .AddHttpMessageHandler(provider => new ServiceCallHandler(provider.GetRequiredService<Destinations>()[name], address))
            .AddPipeline(name)
            .AddHttpMessageHandler(provider => new AttemptHandler(provider.GetRequiredService<InternalTokens>()))
            // Innermost: each attempt is resolved anew, so that a retry goes to another endpoint.
            .AddServiceDiscovery();
    }

    private static IHttpClientBuilder ToService(this IHttpClientBuilder client, Uri address) => client
        .ConfigureHttpClient(http =>
        {
            http.BaseAddress = address;
            http.Timeout = Timeout.InfiniteTimeSpan;
        })
        .RemoveAllLoggers()
        // Removes the default handlers. Outside of this pipeline they would retry a second time and resolve one endpoint for all attempts.
        .ConfigureAdditionalHttpMessageHandlers((handlers, _) => handlers.Clear());

    private static IHttpClientBuilder AddPipeline(this IHttpClientBuilder client, string name)
    {
        client.AddResilienceHandler("service", (pipeline, context) =>
        {
            var destination = context.ServiceProvider.GetRequiredService<Destinations>()[name];
            pipeline.TimeProvider = destination.Time;
            pipeline
                .AddRateLimiter(new RateLimiterStrategyOptions { RateLimiter = arguments => destination.Limiter.AcquireAsync(1, arguments.Context.CancellationToken) })
                .AddTimeout(new TimeoutStrategyOptions { TimeoutGenerator = arguments => new(CallOf(arguments.Context).Left) })
                .AddStrategy(_ => new RetryStrategy(destination), new PlatformStrategyOptions { Name = "retry" })
                .AddStrategy(_ => new CircuitBreakerStrategy(destination), new PlatformStrategyOptions { Name = "circuit-breaker" })
                .AddTimeout(new TimeoutStrategyOptions { TimeoutGenerator = arguments => new(CallOf(arguments.Context).AttemptTimeout) });
        });
        return client;
    }

    private static ServiceCall CallOf(ResilienceContext context) => context.Properties.GetValue(ServiceCall.Key, null!);

    private static Uri AddressOf(IConfiguration configuration, string name)
    {
        var variable = name.ToUpperInvariant().Replace('-', '_') + "_URL";
        return configuration[variable] is not { Length: > 0 } url ? new($"https+http://{name}")
            : Uri.TryCreate(url, UriKind.Absolute, out var address) && address.Scheme is "http" or "https" ? address
            : throw new InvalidOperationException($"{variable} must be an absolute http or https address, and is '{url}'.");
    }

    private sealed class PlatformStrategyOptions : ResilienceStrategyOptions;
}
