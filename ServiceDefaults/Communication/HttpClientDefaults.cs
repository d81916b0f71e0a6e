using Microsoft.Extensions.Http.Resilience;

namespace Platform.ServiceDefaults.Communication;

internal static class HttpClientDefaults
{
    /// <summary>Gives every <see cref="HttpClient"/> of the factory the standard resilience handler per authority, service discovery and the shared connection pool. Service clients replace these with their own pipeline.</summary>
    public static void AddHttpClientDefaults(this IServiceCollection services)
    {
        services.AddServiceDiscovery();
        services.AddSingleton<SharedSocketsHandler>();
        services.AddSingleton<CommunicationSignals>();
        services.AddSingleton<CallLog>();
        services.AddSingleton(provider => new Destinations(provider));
        services.AddSingleton(provider => new Fallbacks(
            provider.GetServices<Fallback>(), provider.GetRequiredService<CommunicationSignals>(), provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton<CommunicationStatus>();
        services.AddSingleton<ReadinessProbe>();
        services.AddHostedService<RecoveryProbes>();
        services.ConfigureHttpClientDefaults(client =>
        {
            client.AddStandardResilienceHandler(options =>
            {
                // A POST that timed out may have taken effect.
#pragma warning disable EXTEXP0001 // Experimental, but small and unchanged since its first release.
                options.Retry.DisableForUnsafeHttpMethods();
#pragma warning restore EXTEXP0001
            }).SelectPipelineByAuthority();
            client.AddServiceDiscovery();
            client.ConfigurePrimaryHttpMessageHandler(provider => provider.GetRequiredService<SharedSocketsHandler>().ForClient());
        });
    }
}
