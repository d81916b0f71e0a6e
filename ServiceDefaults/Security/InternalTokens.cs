namespace Platform.ServiceDefaults.Security;

/// <summary>
/// The secret with which services authenticate to one another. Configuration <c>InternalToken</c> is one value or a list <c>InternalToken:0..n</c>: the first is sent, all are
/// accepted, and both follow configuration reloads, so that it can be rotated without downtime.
/// </summary>
public sealed partial class InternalTokens : ConfiguredSecret
{
    /// <summary>The header that carries the token.</summary>
    public const string HeaderName = "X-Internal-Token";

    /// <summary>The configuration key.</summary>
    public const string ConfigurationKey = "InternalToken";

    /// <summary>Reads the tokens from <paramref name="configuration"/> and follows its changes.</summary>
    public InternalTokens(IConfiguration configuration, ILogger<InternalTokens> logger)
        : base(configuration, ConfigurationKey)
    {
        if (Current is null)
        {
            LogNoToken(logger);
        }
    }

    [LoggerMessage(LogLevel.Warning, "No internal token is configured: internal endpoints answer 401 to everyone. Set InternalToken (environment variable InternalToken) to the same secret in every service")]
    private static partial void LogNoToken(ILogger logger);
}
