using Microsoft.Extensions.Http.Resilience;

namespace Platform.ServiceDefaults.Communication;

internal static class HttpClientDefaults
{
    /// <summary>What every <see cref="HttpClient"/> of the factory gets: resilience by authority, service discovery, and the shared connection pool.</summary>
    public static void AddHttpClientDefaults(this IServiceCollection services)
    {
        services.AddServiceDiscovery();
        services.AddSingleton<SharedSocketsHandler>();
        services.ConfigureHttpClientDefaults(client =>
        {
            client.AddStandardResilienceHandler(options =>
            {
                // two seconds, as it comes, are longer than most outages of a neighbour
                options.Retry.Delay = TimeSpan.FromMilliseconds(100);
                // a POST that timed out may have been done
#pragma warning disable EXTEXP0001 // small, and unchanged since it came
                options.Retry.DisableForUnsafeHttpMethods();
#pragma warning restore EXTEXP0001
            }).SelectPipelineByAuthority();
            client.AddServiceDiscovery();
            client.ConfigurePrimaryHttpMessageHandler(provider => provider.GetRequiredService<SharedSocketsHandler>().ForClient());
        });
    }
}
