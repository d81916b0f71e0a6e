namespace Platform.ServiceDefaults.Security;

/// <summary>The secrets that a service needs to start outside of Development. Missing ones are reported together.</summary>
public sealed class RequiredSecrets;

/// <summary>Registers required secrets.</summary>
public static class RequiredSecretsExtensions
{
    /// <summary>
    /// Fails the start outside of Development unless <paramref name="isGiven"/>, with an <see cref="OptionsValidationException"/> that contains the <paramref name="sentence"/> of
    /// every missing secret.
    /// </summary>
    public static IServiceCollection RequireSecret(this IServiceCollection services, Func<IConfiguration, bool> isGiven, string sentence)
    {
        services.AddOptions<RequiredSecrets>().Validate<IConfiguration, IHostEnvironment>(
            (_, configuration, environment) => environment.IsDevelopment() || isGiven(configuration), sentence);
        return services;
    }
}
