using System.IO.Compression;
using System.Reflection;
using Platform.ServiceDefaults.Health;
using Platform.Templates;

namespace Platform.TemplateRegistry.BuiltIn;

/// <summary>The templates that come with the registry, whose files are embedded in it.</summary>
internal static class BuiltInTemplates
{
    private const string ResourcePrefix = "BuiltIn/";

    /// <summary>Publishes missing built-in templates at start-up. The service is not ready before that is done.</summary>
    public static void AddBuiltInTemplates(this IHostApplicationBuilder builder)
    {
        var gate = builder.Services.AddReadinessGate("built-in templates");
        builder.Services.AddHostedService(provider => ActivatorUtilities.CreateInstance<PublishBuiltInTemplates>(provider, gate));
    }

    /// <summary>
    /// Packs all built-in templates. The same files give the same bytes, and so the same digest, in every build. They are not validated here: the tests do that, and
    /// it would take most of the start-up time.
    /// </summary>
    public static IEnumerable<TemplateBundle> Pack() => Assembly.GetExecutingAssembly().GetManifestResourceNames()
        .Where(resource => resource.StartsWith(ResourcePrefix, StringComparison.Ordinal))
        .GroupBy(resource => resource.Split('/')[1])
        .OrderBy(template => template.Key, StringComparer.Ordinal)
        .Select(template => Pack($"{ResourcePrefix}{template.Key}/", template));

    private static TemplateBundle Pack(string folder, IEnumerable<string> resources)
    {
        using var zip = new MemoryStream();
        using (var archive = new ZipArchive(zip, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var resource in resources.Order(StringComparer.Ordinal))
            {
                // Not compressed, because the output of a compressor may differ between versions, which would change the digest.
                var entry = archive.CreateEntry(resource[folder.Length..], CompressionLevel.NoCompression);
                entry.LastWriteTime = new DateTimeOffset(1980, 1, 1, 0, 0, 0, TimeSpan.Zero);
                entry.ExternalAttributes = 0;
                using var target = entry.Open();
                target.Write(Content(resource));
            }
        }

        var manifest = TemplateManifest.Read(Content(folder + TemplateManifest.Entry), new TemplateIssues());
        var bytes = zip.ToArray();
        return new TemplateBundle(manifest!, BundleDigest.Of(bytes), bytes);
    }

    private static byte[] Content(string resource)
    {
        using var source = Assembly.GetExecutingAssembly().GetManifestResourceStream(resource)!;
        var content = new byte[source.Length];
        source.ReadExactly(content);
        return content;
    }
}
