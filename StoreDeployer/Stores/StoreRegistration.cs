using Microsoft.Extensions.Configuration.Memory;
using Platform.ServiceDefaults.Communication;

namespace Platform.StoreDeployer.Stores;

internal static class StoreRegistration
{
    /// <summary>Adds what serves the live stores.</summary>
    public static void AddStores(this IHostApplicationBuilder builder)
    {
        // one address may be all the shoppers behind a content network or a mobile carrier, and a page from the cache costs next to nothing: what protects the
        // stores is the number of requests at once. Lowest in priority, as the defaults of every service are
        builder.Configuration.Sources.Insert(0, new MemoryConfigurationSource
        {
            InitialData =
            [
                new($"Admission:{nameof(AdmissionOptions.RatePerSecond)}", "100000"),
                new($"Admission:{nameof(AdmissionOptions.Burst)}", "200000"),
            ],
        });
        builder.Services.AddOptions<StoreOptions>().BindConfiguration(StoreOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        builder.Services.AddSingleton<StoreUrls>();
        builder.Services.AddSingleton<DigestCache>();
        builder.Services.AddSingleton<StoreFiles>();
        builder.Services.AddSingleton<ReleaseContents>();
        builder.Services.AddSingleton<StoreDirectory>();
        builder.Services.AddFallback(StoreDirectory.Fallback);
        builder.Services.AddHostedService<KeepStores>();
    }
}
