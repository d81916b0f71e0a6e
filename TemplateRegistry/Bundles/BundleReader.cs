namespace Platform.Templates;

/// <summary>Validates an uploaded bundle.</summary>
internal static class BundleReader
{
    private const string NotText = "is not UTF-8 text without control characters";

    /// <summary>
    /// Reads and validates a bundle of at most <see cref="BundleArchive.MaxBundleSize"/> bytes; null if there were issues. A bundle with files that are left out or renamed is
    /// packed again, so that its digest is that of its content.
    /// </summary>
    public static TemplateBundle? Read(byte[] zip, TemplateIssues issues)
    {
        if (BundleArchive.Read(zip, issues, out var exact) is not { } files)
            return null;

        if (!files.TryGetValue(TemplateManifest.Entry, out var json))
        {
            var nested = files.Keys.FirstOrDefault(path => path.EndsWith("/" + TemplateManifest.Entry, StringComparison.Ordinal));
            issues.Add(TemplateManifest.Entry, nested is null ? "is missing" : $"is missing; there is {nested}, but also files outside of that folder");
            return null;
        }

        var sources = new Dictionary<string, string>();
        var assets = new HashSet<string>();
        foreach (var (path, content) in files)
        {
            if (path.StartsWith(TemplateLanguage.AssetsFolder, StringComparison.Ordinal))
            {
                assets.Add(path[TemplateLanguage.AssetsFolder.Length..]);
                if (AssetRules.Check(path, content) is { } problem)
                    issues.Add(path, problem);
            }
            else if (path.EndsWith(TemplateLanguage.FormerExtension, StringComparison.Ordinal))
                issues.Add(path, "is written in Handlebars; templates are written in Liquid now, in files that end in .liquid");
            else if (IsSource(path))
            {
                if (AssetRules.DecodeText(content) is { } text)
                    sources.Add(path, text);
                else
                    issues.Add(path, NotText);
            }
            else if (path != TemplateManifest.Entry)
                issues.Add(path, "has no place in a bundle, which has template.json, pages/*.liquid, partials/*.liquid and assets/");
        }

        var manifest = TemplateManifest.Read(json, issues);
        if (manifest is null || issues.Any)
            return null;

        TemplateLanguage.Check(manifest, sources, assets, new TemplateParser(), issues);
        if (issues.Any)
            return null;
        var bytes = exact ? zip : BundleArchive.Pack(files);
        var styleSheets = files.Where(file => file.Key.EndsWith(".css", StringComparison.OrdinalIgnoreCase))
            .Select(file => KeyValuePair.Create(file.Key, AssetRules.DecodeText(file.Value)!));
        return new TemplateBundle(manifest, BundleDigest.Of(bytes), bytes) { Warnings = BrowserWarnings.Of(sources.Concat(styleSheets)) };
    }

    private static bool IsSource(string path) => path.EndsWith(TemplateLanguage.Extension, StringComparison.Ordinal)
        && (path.StartsWith(TemplateLanguage.PagesFolder, StringComparison.Ordinal) || path.StartsWith(TemplateLanguage.PartialsFolder, StringComparison.Ordinal));
}
