using System.Security.Cryptography;

namespace Platform.Templates;

/// <summary>A validated bundle: its manifest, its digest, and its bytes as they are stored.</summary>
internal sealed record TemplateBundle(TemplateManifest Manifest, BundleDigest Digest, byte[] Zip)
{
    /// <summary>What browsers will block.</summary>
    public IReadOnlyList<TemplateIssue> Warnings { get; init; } = [];
}

/// <summary>The SHA-256 of a bundle's bytes, which is its identity: <c>sha256:</c> and 64 lower-case hexadecimal digits.</summary>
internal readonly record struct BundleDigest
{
    private const string Prefix = "sha256:";
    private readonly string? _text;

    private BundleDigest(string text) => _text = text;

    public static BundleDigest Of(ReadOnlySpan<byte> content) => new(Prefix + Convert.ToHexStringLower(SHA256.HashData(content)));

    public static BundleDigest? Parse(string text) =>
        text.Length == Prefix.Length + 64
        && text.StartsWith(Prefix, StringComparison.Ordinal)
        && text[Prefix.Length..].All(char.IsAsciiHexDigitLower)
            ? new BundleDigest(text)
            : null;

    public override string ToString() => _text ?? "";
}
