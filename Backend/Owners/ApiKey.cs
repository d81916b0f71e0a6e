using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Platform.Backend.Owners;

/// <summary>A key's description. The key itself is not stored, so it can't be read again.</summary>
public record ApiKey
{
    /// <summary>The key's id, with which it is revoked.</summary>
    public required Guid Id { get; init; }

    /// <summary>What it is for.</summary>
    public required string Name { get; init; }

    /// <summary>The owner whose shops it gives access to.</summary>
    public required KeyOwner Owner { get; init; }

    /// <summary>Any of <c>read</c>, <c>deploy</c> and <c>admin</c>; each includes those before it.</summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    /// <summary>When it was created, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it expires, UTC; absent for never.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>When it was last used, to the hour, UTC; absent for never.</summary>
    public DateTimeOffset? LastUsedAt { get; init; }
}

/// <summary>The owner of a key.</summary>
/// <param name="Id">The owner's id.</param>
/// <param name="Name">The owner's name.</param>
public sealed record KeyOwner(Guid Id, string Name);

/// <summary>A new key. This response is the only one that contains the key itself.</summary>
public sealed record MadeApiKey : ApiKey
{
    /// <summary>The key, to be sent as <c>Authorization: Bearer</c>. Absent if the response is repeated for the same <c>Idempotency-Key</c>.</summary>
    public string? Key { get; init; }
}

/// <summary>A key to create.</summary>
public sealed record NewApiKey
{
    /// <summary>What it is for; 1–100 characters.</summary>
    public required string Name { get; init; }

    /// <summary>One or more of <c>read</c>, <c>deploy</c> and <c>admin</c>.</summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    /// <summary>Its owner; the caller if this and <c>owner</c> are omitted.</summary>
    public Guid? OwnerId { get; init; }

    /// <summary>An owner to create together with the key.</summary>
    public NewOwner? Owner { get; init; }

    /// <summary>When it expires; never if omitted.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }
}

/// <summary>
/// The format of keys: <c>plat_</c>, by which secret scanners find them, then 32 random bytes and their checksum, by which malformed keys are refused without a query.
/// </summary>
internal static class KeyFormat
{
    private const string Prefix = "plat_";
    private const int RandomBytes = 32;
    private const int ChecksumBytes = 4;

    public static string NewKey()
    {
        Span<byte> bytes = stackalloc byte[RandomBytes + ChecksumBytes];
        RandomNumberGenerator.Fill(bytes[..RandomBytes]);
        ChecksumOf(bytes).CopyTo(bytes[RandomBytes..]);
        return Prefix + Base64Url.EncodeToString(bytes);
    }

    public static bool IsKey(string text)
    {
        Span<byte> bytes = stackalloc byte[RandomBytes + ChecksumBytes];
        return text.StartsWith(Prefix, StringComparison.Ordinal)
            && text.Length == Prefix.Length + Base64Url.GetEncodedLength(bytes.Length)
            && Base64Url.TryDecodeFromChars(text.AsSpan(Prefix.Length), bytes, out var read) && read == bytes.Length
            && ChecksumOf(bytes).SequenceEqual(bytes[RandomBytes..]);
    }

    public static byte[] DigestOf(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));

    private static ReadOnlySpan<byte> ChecksumOf(ReadOnlySpan<byte> bytes) => SHA256.HashData(bytes[..RandomBytes]).AsSpan(0, ChecksumBytes);
}
