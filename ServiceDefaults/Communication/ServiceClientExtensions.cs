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
    /// <see cref="ServiceClientOptions"/> from <c>Services:name</c>. Each send carries the internal token, the correlation id, its number and
    /// the time it has, and those never go to another host: the client calls its service only, and redirects are not followed.
    /// The service appears in <c>/health</c> as a dependency that this one can do without.
    /// </summary>
    /// <remarks>A wrong policy stops the service at start with an <see cref="OptionsValidationException"/> that names key, value and range.</remarks>
    public static IHttpClientBuilder AddServiceClient<TClient>(this IHostApplicationBuilder builder, string name) where TClient : class =>
        builder.Services.AddHttpClient<TClient>().AddServiceCalls(builder, name);

    /// <summary>As <see cref="AddServiceClient{TClient}"/>, for code that takes the client <paramref name="clientName"/> from <see cref="IHttpClientFactory"/>.</summary>
    public static IHttpClientBuilder AddServiceClient(this IHostApplicationBuilder builder, string clientName, string name) =>
        builder.Services.AddHttpClient(clientName).AddServiceCalls(builder, name);

    private static IHttpClientBuilder AddServiceCalls(this IHttpClientBuilder client, IHostApplicationBuilder builder, string name)
    {
        var address = AddressOf(builder.Configuration, name);
        if (!builder.Services.Any(service => service.ImplementationInstance is DestinationRegistration known && known.Name == name))
        {
            builder.Services.AddDestination(
                name, (services, cancellationToken) => services.GetRequiredService<ReadinessProbe>().FindErrorAsync(name, cancellationToken), probeIsUse: false, required: false);
            // the probe itself must neither be refused by the breaker it watches nor be retried
            builder.Services.AddHttpClient(ReadinessProbe.ClientName(name)).ToService(address).AddServiceDiscovery();
        }

        return client.ToService(address)
            .AddHttpMessageHandler(provider => new ServiceCallHandler(provider.GetRequiredService<Destinations>()[name], address))
            .AddPipeline(name)
            .AddHttpMessageHandler(provider => new AttemptHandler(provider.GetRequiredService<InternalTokens>()))
            // innermost: each send asks anew, so that the second goes to another endpoint than the first
            .AddServiceDiscovery();
    }

    private static IHttpClientBuilder ToService(this IHttpClientBuilder client, Uri address) => client
        .ConfigureHttpClient(http =>
        {
            http.BaseAddress = address;
            http.Timeout = Timeout.InfiniteTimeSpan;
        })
        .RemoveAllLoggers()
        // what the defaults give to every client would stand outside of this pipeline: two layers of retries, and one endpoint for all sends of a call
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
                .AddStrategy(_ => new RetryStrategy(destination), new PlatformStrategyOptions("retry"))
                .AddStrategy(_ => new CircuitBreakerStrategy(destination), new PlatformStrategyOptions("circuit-breaker"))
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

    private sealed class PlatformStrategyOptions : ResilienceStrategyOptions
    {
        public PlatformStrategyOptions(string name) => Name = name;
    }
}
