using NuGet.Versioning;

namespace Platform.TemplateRegistry.Templates;

/// <summary>The order of semantic versions, which no database knows.</summary>
internal static class VersionPrecedence
{
    /// <summary>Lowest first. Versions that differ in nothing but the case of their pre-release are told apart by their bytes.</summary>
    public static IComparer<string> Comparer { get; } = Comparer<string>.Create((one, other) =>
        SemanticVersion.Parse(one).CompareTo(SemanticVersion.Parse(other)) is var order && order != 0 ? order : string.CompareOrdinal(one, other));

    /// <summary>What a shop gets that asks for no version: the highest release, else pre-release, of those published; null when there are none.</summary>
    public static string? Latest(IEnumerable<(string Version, TemplateStatus Status)> versions) => versions
        .Where(v => v.Status == TemplateStatus.Published)
        .Select(v => v.Version)
        .OrderBy(version => SemanticVersion.Parse(version).IsPrerelease)
        .ThenByDescending(version => version, Comparer)
        .FirstOrDefault();

    /// <summary>Which version's title stands for the template: the latest, else the highest deprecated one; null when all are yanked.</summary>
    public static string? Listed(IReadOnlyCollection<(string Version, TemplateStatus Status)> versions) => Latest(versions) ?? versions
        .Where(v => v.Status == TemplateStatus.Deprecated)
        .Select(v => v.Version)
        .OrderByDescending(version => version, Comparer)
        .FirstOrDefault();
}
