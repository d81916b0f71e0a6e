using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Primitives;

namespace Platform.ServiceDefaults.Security;

/// <summary>
/// The secret that services show one another. Configuration <c>InternalToken</c> is one value or a list <c>InternalToken:0..n</c>: the first is sent,
/// all are accepted, and both follow configuration reloads, so that it can be changed with no downtime.
/// </summary>
public sealed partial class InternalTokens : IDisposable
{
    /// <summary>The header that carries the token.</summary>
    public const string HeaderName = "X-Internal-Token";

    private readonly IDisposable _reload;
    private Snapshot _snapshot;

    /// <summary>Reads the tokens from <paramref name="configuration"/> and follows its changes.</summary>
    public InternalTokens(IConfiguration configuration, ILogger<InternalTokens> logger)
    {
        _snapshot = Read(configuration);
        if (_snapshot.Current is null)
        {
            LogNoToken(logger);
        }

        _reload = ChangeToken.OnChange(configuration.GetReloadToken, () => Volatile.Write(ref _snapshot, Read(configuration)));
    }

    /// <summary>The token to send, or null when none is configured.</summary>
    public string? Current => Volatile.Read(ref _snapshot).Current;

    /// <summary>Whether <paramref name="presented"/> is one of the accepted tokens. Takes the same time wherever the two differ.</summary>
    public bool Accepts(string? presented)
    {
        if (string.IsNullOrEmpty(presented))
        {
            return false;
        }

        // digests have one length, so the comparison tells nothing about that of the secret
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(presented), digest);
        var accepted = false;
        foreach (var known in Volatile.Read(ref _snapshot).Digests)
        {
            accepted |= CryptographicOperations.FixedTimeEquals(digest, known);
        }

        return accepted;
    }

    /// <inheritdoc />
    public void Dispose() => _reload.Dispose();

    private static Snapshot Read(IConfiguration configuration)
    {
        var section = configuration.GetSection("InternalToken");
        string[] tokens = [.. new[] { section.Value }.Concat(section.GetChildren().OrderBy(child => child.Key, ConfigurationKeyComparer.Instance).Select(child => child.Value))
            .OfType<string>().Where(token => !string.IsNullOrWhiteSpace(token))];
        return new(tokens.FirstOrDefault(), [.. tokens.Select(token => SHA256.HashData(Encoding.UTF8.GetBytes(token)))]);
    }

    [LoggerMessage(LogLevel.Warning, "No internal token is configured: internal endpoints answer 401 to everyone. Set InternalToken (environment variable InternalToken) to the same secret in every service")]
    private static partial void LogNoToken(ILogger logger);

    private sealed record Snapshot(string? Current, byte[][] Digests);
}
