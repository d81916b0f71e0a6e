using NuGet.Versioning;

namespace Platform.TemplateRegistry.Templates;

/// <summary>The precedence of semantic versions.</summary>
internal static class VersionPrecedence
{
    /// <summary>Orders versions ascending. Versions that differ only in the case of their pre-release are ordered by their bytes.</summary>
    public static IComparer<string> Comparer { get; } = Comparer<string>.Create((one, other) =>
        SemanticVersion.Parse(one).CompareTo(SemanticVersion.Parse(other)) is var order && order != 0 ? order : string.CompareOrdinal(one, other));

    /// <summary>The default version: the highest published release, else the highest published pre-release; null if there are none.</summary>
    public static string? Latest(IEnumerable<(string Version, TemplateStatus Status)> versions) => versions
        .Where(v => v.Status == TemplateStatus.Published)
        .Select(v => v.Version)
        .OrderBy(version => SemanticVersion.Parse(version).IsPrerelease)
        .ThenByDescending(version => version, Comparer)
        .FirstOrDefault();

    /// <summary>The version whose title represents the template: the latest, else the highest deprecated one; null if all are yanked.</summary>
    public static string? Listed(IReadOnlyCollection<(string Version, TemplateStatus Status)> versions) => Latest(versions) ?? versions
        .Where(v => v.Status == TemplateStatus.Deprecated)
        .Select(v => v.Version)
        .OrderByDescending(version => version, Comparer)
        .FirstOrDefault();
}
