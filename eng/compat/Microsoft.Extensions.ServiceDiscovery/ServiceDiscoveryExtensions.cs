using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.ServiceDiscovery;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds service discovery.</summary>
public static class ServiceDiscoveryServiceCollectionExtensions
{
    /// <summary>Adds service discovery from configuration, with the service's name as the host when nothing is configured.</summary>
    public static IServiceCollection AddServiceDiscovery(this IServiceCollection services) => services.AddServiceDiscovery(_ => { });

    /// <summary>Adds service discovery from configuration, with the service's name as the host when nothing is configured.</summary>
    public static IServiceCollection AddServiceDiscovery(this IServiceCollection services, Action<ServiceDiscoveryOptions> configureOptions) => services
        .AddServiceDiscoveryCore(configureOptions)
        .AddConfigurationServiceEndpointProvider()
        .AddPassThroughServiceEndpointProvider();

    /// <summary>Adds service discovery without any provider.</summary>
    public static IServiceCollection AddServiceDiscoveryCore(this IServiceCollection services) => services.AddServiceDiscoveryCore(_ => { });

    /// <summary>Adds service discovery without any provider.</summary>
    public static IServiceCollection AddServiceDiscoveryCore(this IServiceCollection services, Action<ServiceDiscoveryOptions> configureOptions)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configureOptions);

        services.AddOptions();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<ServiceEndpointCache>();
        services.TryAddSingleton(provider => new ServiceEndpointResolver(provider.GetRequiredService<ServiceEndpointCache>()));
        services.TryAddEnumerable(ServiceDescriptor.Transient<IValidateOptions<ServiceDiscoveryOptions>, ServiceDiscoveryOptionsValidator>());
        services.Configure(configureOptions);
        return services;
    }

    /// <summary>Adds the endpoints that are configured under <c>services:NAME</c>.</summary>
    public static IServiceCollection AddConfigurationServiceEndpointProvider(this IServiceCollection services) =>
        services.AddConfigurationServiceEndpointProvider(_ => { });

    /// <summary>Adds the endpoints that are configured under <c>services:NAME</c>.</summary>
    public static IServiceCollection AddConfigurationServiceEndpointProvider(
        this IServiceCollection services, Action<ConfigurationServiceEndpointProviderOptions> configureOptions)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configureOptions);

        services.AddServiceDiscoveryCore();
        services.AddSingleton<IServiceEndpointProviderFactory, ConfigurationServiceEndpointProviderFactory>();
        services.TryAddEnumerable(ServiceDescriptor
            .Transient<IValidateOptions<ConfigurationServiceEndpointProviderOptions>, ConfigurationServiceEndpointProviderOptionsValidator>());
        services.Configure(configureOptions);
        return services;
    }

    /// <summary>Takes a service's name for its host when nothing else is known.</summary>
    public static IServiceCollection AddPassThroughServiceEndpointProvider(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);

        services.AddServiceDiscoveryCore();
        services.AddSingleton<IServiceEndpointProviderFactory, PassThroughServiceEndpointProviderFactory>();
        return services;
    }
}

/// <summary>Adds service discovery to HTTP clients.</summary>
public static class ServiceDiscoveryHttpClientBuilderExtensions
{
    /// <summary>Lets the client's requests name services in place of hosts.</summary>
    public static IHttpClientBuilder AddServiceDiscovery(this IHttpClientBuilder httpClientBuilder)
    {
        ArgumentNullException.ThrowIfNull(httpClientBuilder);

        httpClientBuilder.Services.AddServiceDiscoveryCore();
        return httpClientBuilder.AddHttpMessageHandler(services => new ResolvingHttpDelegatingHandler(
            services.GetRequiredService<ServiceEndpointCache>(), services.GetRequiredService<IOptions<ServiceDiscoveryOptions>>()));
    }
}
