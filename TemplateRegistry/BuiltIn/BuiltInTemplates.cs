using System.IO.Compression;
using System.Reflection;
using Platform.ServiceDefaults.Health;
using Platform.Templates;

namespace Platform.TemplateRegistry.BuiltIn;

/// <summary>The templates that come with the registry, whose files are embedded in it.</summary>
internal static class BuiltInTemplates
{
    private const string ResourcePrefix = "BuiltIn/";

    /// <summary>Has them published at start if they are absent, which <c>/ready</c> waits for.</summary>
    public static void AddBuiltInTemplates(this IHostApplicationBuilder builder)
    {
        var gate = builder.Services.AddReadinessGate("built-in templates");
        builder.Services.AddHostedService(provider => ActivatorUtilities.CreateInstance<PublishBuiltInTemplates>(provider, gate));
    }

    /// <summary>
    /// All of them, packed. The same files give the same bytes, and so the same digest, in every build. Their sources are not checked:
    /// they don't change after the tests, and checking would be most of the service's time to start.
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
                // Not compressed, because what a compressor makes of a file changes with its version.
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
