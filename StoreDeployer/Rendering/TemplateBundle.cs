using System.IO.Compression;
using System.Text;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>An unpacked template bundle. The registry has validated it; whatever could harm this process is checked again.</summary>
internal sealed class TemplateBundle
{
    private const int MaxEntries = 5_000;
    private const int MaxSize = 100 * 1024 * 1024;

    private TemplateBundle(TemplateManifest manifest, IReadOnlyDictionary<string, TemplateSource> sources, IReadOnlyDictionary<string, byte[]> assets) =>
        (Manifest, Sources, Assets) = (manifest, sources, assets);

    public TemplateManifest Manifest { get; }

    /// <summary>Parsed pages and partials by their path in the bundle.</summary>
    public IReadOnlyDictionary<string, TemplateSource> Sources { get; }

    /// <summary>Assets by their path within <c>assets/</c>.</summary>
    public IReadOnlyDictionary<string, byte[]> Assets { get; }

    /// <summary>Unpacks and checks a bundle.</summary>
    /// <exception cref="RenderException">The bundle is invalid.</exception>
    public static TemplateBundle Open(byte[] zip)
    {
        try
        {
            using var archive = new ZipArchive(new MemoryStream(zip, writable: false), ZipArchiveMode.Read, leaveOpen: false, Encoding.UTF8);
            return Read(archive);
        }
        catch (InvalidDataException e)
        {
            throw Invalid($"is not a readable zip file: {e.Message}", e);
        }
    }

    private static TemplateBundle Read(ZipArchive archive)
    {
        if (archive.Entries.Count > MaxEntries)
            throw Invalid($"has more than {MaxEntries} entries.");

        TemplateManifest? manifest = null;
        var issues = new TemplateIssues();
        Dictionary<string, string> sources = [];
        Dictionary<string, byte[]> assets = [];
        var left = MaxSize;
        foreach (var entry in archive.Entries)
        {
            if (entry.FullName.EndsWith('/'))
                continue;
            var content = Content(entry, left);
            left -= content.Length;
            if (entry.FullName == TemplateManifest.Entry)
                manifest = TemplateManifest.Read(content, issues);
            else if (entry.FullName.StartsWith(TemplateLanguage.AssetsFolder, StringComparison.Ordinal))
                assets[entry.FullName[TemplateLanguage.AssetsFolder.Length..]] = content;
            else if (entry.FullName.EndsWith(TemplateLanguage.Extension, StringComparison.Ordinal))
                sources[entry.FullName] = Encoding.UTF8.GetString(content).TrimStart('\uFEFF');
            else if (entry.FullName.EndsWith(TemplateLanguage.FormerExtension, StringComparison.Ordinal))
            {
                throw new RenderException(
                    "template-language",
                    "This version of the template is written in Handlebars, which new deployments can't use any more. Choose a newer version of the template.");
            }
        }

        if (manifest is null && !issues.Any)
            throw Invalid($"has no {TemplateManifest.Entry}.");
        return issues.Any || manifest is null ? throw Refused(issues) : Create(manifest, sources, assets);
    }

    /// <summary>Parses and checks the files of a bundle.</summary>
    /// <exception cref="RenderException">The bundle is invalid.</exception>
    internal static TemplateBundle Create(TemplateManifest manifest, IReadOnlyDictionary<string, string> sources, IReadOnlyDictionary<string, byte[]> assets)
    {
        var issues = new TemplateIssues();
        var parsed = TemplateLanguage.Check(manifest, sources, assets.Keys.ToHashSet(), Parser, issues);
        return issues.Any ? throw Refused(issues) : new(manifest, parsed, assets);
    }

    // Making a parser takes longer than parsing.
    private static readonly TemplateParser Parser = new(new BlockRenderer());

    private static RenderException Refused(TemplateIssues issues) => Invalid($"is refused: {issues.Items[0].Entry} {issues.Items[0]}");

    // Counts what is actually unpacked: the sizes in a zip's directory can't be trusted.
    private static byte[] Content(ZipArchiveEntry entry, int limit)
    {
        using var stream = entry.Open();
        using var content = new MemoryStream();
        var buffer = new byte[64 * 1024];
        int read;
        while ((read = stream.Read(buffer)) > 0)
        {
            if (content.Length + read > limit)
                throw Invalid($"unpacks to more than {MaxSize} bytes.");
            content.Write(buffer, 0, read);
        }

        return content.ToArray();
    }

    private static RenderException Invalid(string reason, Exception? inner = null) => new("bundle-invalid", $"The template's bundle {reason}", inner);
}
