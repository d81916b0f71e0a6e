using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Releases;

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
