using System.Security.Cryptography;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Releases;

/// <summary>The SHA-256 of a file's content, which is also its name in the database and the cache.</summary>
internal readonly record struct FileDigest
{
    private FileDigest(string hex) => Hex = hex;

    /// <summary>64 lower-case hexadecimal digits.</summary>
    public string Hex { get; }

    public byte[] Bytes => Convert.FromHexString(Hex);

    public static FileDigest Of(ReadOnlySpan<byte> content) => new(Convert.ToHexStringLower(SHA256.HashData(content)));

    public static FileDigest From(byte[] digest) => new(Convert.ToHexStringLower(digest));

    public static bool TryParse(string hex, out FileDigest digest)
    {
        var valid = hex.Length == 2 * SHA256.HashSizeInBytes && hex.All(char.IsAsciiHexDigitLower);
        digest = valid ? new(hex) : default;
        return valid;
    }

    public override string ToString() => Hex;
}

/// <summary>A file of a release: its path in the store, its type and its content.</summary>
internal sealed record ReleaseFile(string Path, FileDigest Digest, string ContentType, ReadOnlyMemory<byte> Content)
{
    /// <summary>The folder of all assets, each in a subfolder named after its digest.</summary>
    public const string AssetsFolder = "_assets/";

    public static bool IsAsset(string path) => path.StartsWith(AssetsFolder, StringComparison.Ordinal);

    public static ReleaseFile Page(string path, byte[] content) => new(path, FileDigest.Of(content), ContentTypes.Of(path), content);

    public static ReleaseFile Asset(string name, byte[] content)
    {
        var digest = FileDigest.Of(content);
        return new($"{AssetsFolder}{digest}/{System.IO.Path.GetFileName(name)}", digest, ContentTypes.Of(name), content);
    }
}
