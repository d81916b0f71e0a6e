using Microsoft.Extensions.Configuration.Memory;
using Platform.ServiceDefaults.Communication;

namespace Platform.StoreDeployer.Stores;

internal static class StoreRegistration
{
    /// <summary>Adds the services that serve live stores.</summary>
    public static void AddStores(this IHostApplicationBuilder builder)
    {
        // A high rate limit per client address: all shoppers behind a CDN or a mobile carrier may share one, and cached pages are cheap. The limit on concurrent requests
        // protects the service. Inserted first, so that any other configuration source overrides it.
        builder.Configuration.Sources.Insert(0, new MemoryConfigurationSource
        {
            InitialData =
            [
                new($"Admission:{nameof(AdmissionOptions.RatePerSecond)}", "100000"),
                new($"Admission:{nameof(AdmissionOptions.Burst)}", "200000"),
            ],
        });
        builder.Services.AddOptions<StoreOptions>().BindConfiguration(StoreOptions.Section).ValidateDataAnnotations()
            .Validate(options => options.PublicUrl is { IsAbsoluteUri: true, Scheme: "http" or "https" }, "Stores:PublicUrl must be an absolute http or https address.")
            .ValidateOnStart();
        builder.Services.AddSingleton<DigestCache>();
        builder.Services.AddSingleton<StoreFiles>();
        builder.Services.AddSingleton<ReleaseContents>();
        builder.Services.AddSingleton<ReadStore>();
        builder.Services.AddSingleton<StoreEntries>();
        builder.Services.AddSingleton<CacheQueue>();
        builder.Services.AddSingleton<StoreDirectory>();
        builder.Services.AddFallback(StoreDirectory.Fallback);
        builder.Services.AddSingleton<StoreRequests>();
        builder.Services.AddHostedService(services => services.GetRequiredService<StoreRequests>());
        builder.Services.AddHostedService<PollStoreChanges>();
        builder.Services.AddHostedService<FillStoreCache>();
    }
}
