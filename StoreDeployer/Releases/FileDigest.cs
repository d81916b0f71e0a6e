using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Platform.StoreDeployer.Releases;

/// <summary>The SHA-256 of a file's content, which is also its name in the database and the cache. Kept as 32 bytes, because a process has many of them in memory.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct FileDigest
{
    private readonly UInt128 _high;
    private readonly UInt128 _low;

    private FileDigest(ReadOnlySpan<byte> bytes) =>
        (_high, _low) = (BinaryPrimitives.ReadUInt128BigEndian(bytes), BinaryPrimitives.ReadUInt128BigEndian(bytes[16..]));

    public byte[] Bytes
    {
        get
        {
            var bytes = new byte[SHA256.HashSizeInBytes];
            BinaryPrimitives.WriteUInt128BigEndian(bytes, _high);
            BinaryPrimitives.WriteUInt128BigEndian(bytes.AsSpan(16), _low);
            return bytes;
        }
    }

    /// <summary>64 lower-case hexadecimal digits.</summary>
    public string Hex
    {
        get
        {
            Span<byte> bytes = stackalloc byte[SHA256.HashSizeInBytes];
            BinaryPrimitives.WriteUInt128BigEndian(bytes, _high);
            BinaryPrimitives.WriteUInt128BigEndian(bytes[16..], _low);
            return Convert.ToHexStringLower(bytes);
        }
    }

    public static FileDigest Of(ReadOnlySpan<byte> content)
    {
        Span<byte> bytes = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(content, bytes);
        return new(bytes);
    }

    public static FileDigest From(byte[] digest) => new(digest);

    public static bool TryParse(string hex, out FileDigest digest)
    {
        var valid = hex.Length == 2 * SHA256.HashSizeInBytes && hex.All(char.IsAsciiHexDigitLower);
        digest = valid ? new(Convert.FromHexString(hex)) : default;
        return valid;
    }

    public override int GetHashCode() => (int)(uint)_low;

    public override string ToString() => Hex;
}
