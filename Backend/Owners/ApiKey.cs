using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Platform.Backend.Owners;

/// <summary>A key as it is listed: without the key itself, which nobody can read again.</summary>
public record ApiKey
{
    /// <summary>The key's id, with which it is revoked.</summary>
    public required Guid Id { get; init; }

    /// <summary>What it is for.</summary>
    public required string Name { get; init; }

    /// <summary>Whose shops it reads and changes.</summary>
    public required KeyOwner Owner { get; init; }

    /// <summary>Any of <c>read</c>, <c>deploy</c> and <c>admin</c>; each holds those before it.</summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    /// <summary>When it was made, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it ends by itself, UTC; absent for never.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>When it was last used, to the hour, UTC; absent for never.</summary>
    public DateTimeOffset? LastUsedAt { get; init; }
}

/// <summary>The owner of a key.</summary>
/// <param name="Id">The owner's id.</param>
/// <param name="Name">How the owner is called.</param>
public sealed record KeyOwner(Guid Id, string Name);

/// <summary>A key that was just made: the only answer that has it.</summary>
public sealed record MadeApiKey : ApiKey
{
    /// <summary>What to send as <c>Authorization: Bearer</c>. It is shown this once; absent in an answer that is given again.</summary>
    public string? Key { get; init; }
}

/// <summary>A key that is to be made.</summary>
public sealed record NewApiKey
{
    /// <summary>1–100 characters: what it is for.</summary>
    public required string Name { get; init; }

    /// <summary>One or more of <c>read</c>, <c>deploy</c> and <c>admin</c>.</summary>
    public required IReadOnlyList<string> Scopes { get; init; }

    /// <summary>Whose it is; the caller's own when this and <c>owner</c> are left out.</summary>
    public Guid? OwnerId { get; init; }

    /// <summary>An owner to be made along with it.</summary>
    public NewOwner? Owner { get; init; }

    /// <summary>When it ends by itself; never when left out.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }
}

/// <summary>
/// How keys look: <c>plat_</c>, so that scanners for secrets find them, 32 random bytes, and a checksum of these, so that what is no key is known without asking the database.
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
