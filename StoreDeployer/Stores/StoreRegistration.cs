namespace Platform.StoreDeployer.Stores;

internal static class StoreRegistration
{
    /// <summary>Adds what serves the live stores.</summary>
    public static void AddStores(this IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<StoreOptions>().BindConfiguration(StoreOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        builder.Services.AddSingleton<StoreUrls>();
        builder.Services.AddSingleton<DigestCache>();
        builder.Services.AddSingleton<StoreFiles>();
        builder.Services.AddSingleton<StoreDirectory>();
        builder.Services.AddHostedService<KeepStores>();
    }
}
