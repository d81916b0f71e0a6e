namespace Platform.ServiceDefaults.Security;

/// <summary>What a service must be given before it starts anywhere but in Development. Whoever lacks something is told all of it at once.</summary>
public sealed class RequiredSecrets;

/// <summary>Says what a service must be given.</summary>
public static class RequiredSecretsExtensions
{
    /// <summary>
    /// Outside of Development the service does not start unless <paramref name="isGiven"/>: it ends with an <see cref="OptionsValidationException"/> that has every
    /// <paramref name="sentence"/> of this kind that is not fulfilled.
    /// </summary>
    public static IServiceCollection RequireSecret(this IServiceCollection services, Func<IConfiguration, bool> isGiven, string sentence)
    {
        services.AddOptions<RequiredSecrets>().Validate<IConfiguration, IHostEnvironment>(
            (_, configuration, environment) => environment.IsDevelopment() || isGiven(configuration), sentence);
        return services;
    }
}
