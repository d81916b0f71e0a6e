using System.Text;
using System.Text.Json;
using System.Xml;

namespace Platform.Templates;

/// <summary>
/// Checks the files in <c>assets/</c>: their types must be allowed, and their contents must match their extensions, because stores serve them with the
/// content type of the extension.
/// </summary>
internal static class AssetRules
{
    private static readonly Dictionary<string, Func<ReadOnlyMemory<byte>, string?>> Rules = new(StringComparer.OrdinalIgnoreCase)
    {
        [".png"] = Signature("a PNG image", (0, [0x89, .. "PNG\r\n"u8, 0x1A, 0x0A])),
        [".jpg"] = Signature("a JPEG image", (0, [0xFF, 0xD8, 0xFF])),
        [".jpeg"] = Signature("a JPEG image", (0, [0xFF, 0xD8, 0xFF])),
        [".gif"] = Signature("a GIF image", (0, [.. "GIF87a"u8]), (0, [.. "GIF89a"u8])),
        [".webp"] = Signature("a WebP image", (8, [.. "WEBP"u8])),
        [".avif"] = Signature("an AVIF image", (4, [.. "ftypavif"u8]), (4, [.. "ftypavis"u8])),
        [".ico"] = Signature("an icon", (0, [0, 0, 1, 0])),
        [".woff2"] = Signature("a WOFF2 font", (0, [.. "wOF2"u8])),
        [".woff"] = Signature("a WOFF font", (0, [.. "wOFF"u8])),
        [".ttf"] = Signature("a TrueType font", (0, [0, 1, 0, 0]), (0, [.. "true"u8])),
        [".otf"] = Signature("an OpenType font", (0, [.. "OTTO"u8]), (0, [0, 1, 0, 0])),
        [".mp4"] = Signature("an MP4 video", (4, [.. "ftyp"u8])),
        [".webm"] = Signature("a WebM video", (0, [0x1A, 0x45, 0xDF, 0xA3])),
        [".pdf"] = Signature("a PDF document", (0, [.. "%PDF-"u8])),
        [".svg"] = CheckSvg,
        [".css"] = CheckText,
        [".js"] = CheckText,
        [".txt"] = CheckText,
        [".json"] = CheckJson,
        [".webmanifest"] = CheckJson,
        [".map"] = CheckJson,
        [".xml"] = CheckXml,
    };

    /// <summary>What is wrong with an asset, or null.</summary>
    public static string? Check(string path, ReadOnlyMemory<byte> content) =>
        Rules.TryGetValue(Path.GetExtension(path), out var rule)
            ? rule(content)
            : $"is not of a type that a store can have ({string.Join(" ", Rules.Keys)})";

    /// <summary>Decodes strict UTF-8 without control characters; null if the content is anything else. A byte order mark is removed.</summary>
    public static string? DecodeText(ReadOnlyMemory<byte> content)
    {
        try
        {
            var text = Utf8.GetString(content.Span);
            return text.Any(c => char.IsControl(c) && c is not ('\n' or '\r' or '\t' or '\f')) ? null : text.TrimStart('\uFEFF');
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private static Func<ReadOnlyMemory<byte>, string?> Signature(string kind, params (int Offset, byte[] Bytes)[] signatures) => content =>
        signatures.Any(s => content.Length >= s.Offset && content.Span[s.Offset..].StartsWith(s.Bytes))
            ? null
            : $"is not {kind}, as its name says";

    private static string? CheckText(ReadOnlyMemory<byte> content) => DecodeText(content) is null
        ? "is not UTF-8 text without control characters" : null;

    private static string? CheckJson(ReadOnlyMemory<byte> content)
    {
        try
        {
            using var _ = JsonDocument.Parse(content.Span.StartsWith("\uFEFF"u8) ? content[3..] : content);
            return null;
        }
        catch (JsonException)
        {
            return "is not valid JSON";
        }
    }

    private static string? CheckSvg(ReadOnlyMemory<byte> content) => CheckMarkup(content, isSvg: true);

    private static string? CheckXml(ReadOnlyMemory<byte> content) => CheckMarkup(content, isSvg: false);

    /// <summary>Refuses scripts in XML and SVG files: opened directly, they are documents that run scripts in the store's origin.</summary>
    private static string? CheckMarkup(ReadOnlyMemory<byte> content, bool isSvg)
    {
        try
        {
            using var reader = XmlReader.Create(
                new MemoryStream(content.ToArray(), writable: false),
                new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null });
            while (reader.Read())
            {
                if (reader.NodeType == XmlNodeType.ProcessingInstruction)
                    return $"must not have a processing instruction ({reader.Name})";
                if (reader.NodeType != XmlNodeType.Element)
                    continue;
                if (!isSvg && reader.NamespaceURI is "http://www.w3.org/1999/xhtml" or "http://www.w3.org/2000/svg")
                    return $"must not have elements of HTML or SVG ({reader.LocalName})";
                if (isSvg && reader.Depth == 0 && (reader.LocalName != "svg" || reader.NamespaceURI != "http://www.w3.org/2000/svg"))
                    return "is not an SVG image, as its name says";
                if (reader.LocalName.ToLowerInvariant() is "script" or "foreignobject" or "iframe" or "embed" or "object" or "handler")
                    return $"must not have a <{reader.LocalName}> element";
                while (reader.MoveToNextAttribute())
                {
                    if (reader.LocalName.StartsWith("on", StringComparison.OrdinalIgnoreCase))
                        return $"must not have an event handler ({reader.LocalName})";
                    if (IsScript(reader.Value))
                        return $"must not have a script in the attribute {reader.Name}";
                }
            }
            return null;
        }
        catch (XmlException e)
        {
            return $"is not well-formed XML: {e.Message}";
        }
    }

    // White space and control characters are removed first, because browsers ignore them in schemes. The scheme may occur anywhere in the value: an animation can
    // set an href from a list of values.
    private static bool IsScript(string value)
    {
        var plain = new string([.. value.Where(c => !char.IsControl(c) && !char.IsWhiteSpace(c))]);
        return plain.Contains("javascript:", StringComparison.OrdinalIgnoreCase)
            || plain.Contains("vbscript:", StringComparison.OrdinalIgnoreCase)
            || plain.Contains("data:text/", StringComparison.OrdinalIgnoreCase);
    }
}
