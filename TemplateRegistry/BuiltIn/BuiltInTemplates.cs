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
        var manifest = TemplateManifest.Read(Content(folder + TemplateManifest.Entry), new TemplateIssues());
        var bytes = BundleArchive.Pack(resources.Select(resource => KeyValuePair.Create(resource[folder.Length..], Content(resource))));
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
