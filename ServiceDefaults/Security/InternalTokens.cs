namespace Platform.ServiceDefaults.Security;

/// <summary>
/// The secret with which services authenticate to one another. Configuration <c>InternalToken</c> is one value or a list <c>InternalToken:0..n</c>: the first is sent, all are
/// accepted, and both follow configuration reloads, so that it can be rotated without downtime.
/// </summary>
public sealed partial class InternalTokens : IDisposable
{
    /// <summary>The header that carries the token.</summary>
    public const string HeaderName = "X-Internal-Token";

    /// <summary>The configuration key.</summary>
    public const string ConfigurationKey = "InternalToken";

    private readonly ConfiguredSecret _secret;

    /// <summary>Reads the tokens from <paramref name="configuration"/> and follows its changes.</summary>
    public InternalTokens(IConfiguration configuration, ILogger<InternalTokens> logger)
    {
        _secret = new(configuration, ConfigurationKey);
        if (Current is null)
        {
            LogNoToken(logger);
        }
    }

    /// <summary>The token to send, or null when none is configured.</summary>
    public string? Current => All is [var first, ..] ? first : null;

    /// <summary>All accepted tokens, starting with the one to send.</summary>
    public IReadOnlyList<string> All => _secret.All;

    /// <summary>Whether <paramref name="presented"/> is one of the accepted tokens. Compares in constant time.</summary>
    public bool Accepts(string? presented) => _secret.Accepts(presented);

    /// <inheritdoc />
    public void Dispose() => _secret.Dispose();

    [LoggerMessage(LogLevel.Warning, "No internal token is configured: internal endpoints answer 401 to everyone. Set InternalToken (environment variable InternalToken) to the same secret in every service")]
    private static partial void LogNoToken(ILogger logger);
}
