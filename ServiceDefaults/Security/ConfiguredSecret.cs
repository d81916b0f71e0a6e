using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Primitives;

namespace Platform.ServiceDefaults.Security;

/// <summary>
/// A secret from configuration that can be rotated without downtime: one value under its key, or a list <c>key:0..n</c>. The first is used, all are accepted, and both follow
/// configuration reloads.
/// </summary>
public class ConfiguredSecret : IDisposable
{
    private readonly IDisposable _reload;
    private Snapshot _snapshot;

    /// <summary>Reads the values under <paramref name="key"/> and follows their changes.</summary>
    public ConfiguredSecret(IConfiguration configuration, string key)
    {
        _snapshot = Read(configuration, key);
        _reload = ChangeToken.OnChange(configuration.GetReloadToken, () => Volatile.Write(ref _snapshot, Read(configuration, key)));
    }

    /// <summary>The value to use, or null when none is configured.</summary>
    public string? Current => All is [var first, ..] ? first : null;

    /// <summary>All accepted values, starting with the one to use; empty when none is configured.</summary>
    public IReadOnlyList<string> All => Volatile.Read(ref _snapshot).Values;

    /// <summary>Whether <paramref name="presented"/> is one of the accepted values. Compares in constant time.</summary>
    public bool Accepts(string? presented)
    {
        if (string.IsNullOrEmpty(presented))
        {
            return false;
        }

        // Digests have a fixed length, so the comparison doesn't reveal the secret's length.
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(presented), digest);
        return AcceptsDigest(digest);
    }

    /// <summary>Like <see cref="Accepts"/>, for the SHA-256 of a value.</summary>
    public bool AcceptsDigest(ReadOnlySpan<byte> digest)
    {
        var accepted = false;
        foreach (var known in Volatile.Read(ref _snapshot).Digests)
        {
            accepted |= CryptographicOperations.FixedTimeEquals(digest, known);
        }

        return accepted;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _reload.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Whether the configuration has a value under <paramref name="key"/>.</summary>
    public static bool IsIn(IConfiguration configuration, string key) => Read(configuration, key).Values.Length > 0;

    private static Snapshot Read(IConfiguration configuration, string key)
    {
        var section = configuration.GetSection(key);
        string[] values = [.. new[] { section.Value }.Concat(section.GetChildren().OrderBy(child => child.Key, ConfigurationKeyComparer.Instance).Select(child => child.Value))
            .OfType<string>().Where(value => !string.IsNullOrWhiteSpace(value))];
        return new(values, [.. values.Select(value => SHA256.HashData(Encoding.UTF8.GetBytes(value)))]);
    }

    private sealed record Snapshot(string[] Values, byte[][] Digests);
}
