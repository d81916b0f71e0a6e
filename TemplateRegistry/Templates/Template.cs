using System.Text.Json.Serialization;
using Platform.Templates;

namespace Platform.TemplateRegistry.Templates;

/// <summary>A template and its versions on offer, highest first.</summary>
/// <param name="Name">Unique in the registry.</param>
/// <param name="Title">The title of the latest version.</param>
/// <param name="Description">What the template is for, of the latest version.</param>
/// <param name="LatestVersion">The version used by default; absent if all are deprecated.</param>
/// <param name="Shops">How many shops use it, as last reported.</param>
/// <param name="Versions">Published and deprecated versions; yanked ones are not listed.</param>
internal sealed record Template(string Name, string Title, string Description, string? LatestVersion, int Shops, IReadOnlyList<TemplateRelease> Versions);

/// <summary>One version in a template's list of versions.</summary>
/// <param name="Version">A semantic version.</param>
/// <param name="Digest"><c>sha256:</c> and the hexadecimal SHA-256 of the bundle.</param>
/// <param name="PublishedAt">When it was published, UTC.</param>
/// <param name="Status">Whether it is offered.</param>
internal sealed record TemplateRelease(string Version, string Digest, DateTimeOffset PublishedAt, TemplateStatus Status);

/// <summary>Everything about one version of a template.</summary>
/// <param name="Name">The template's name.</param>
/// <param name="Version">A semantic version.</param>
/// <param name="Digest"><c>sha256:</c> and the hexadecimal SHA-256 of the bundle.</param>
/// <param name="Size">The bundle's size in bytes.</param>
/// <param name="Title">The template's title.</param>
/// <param name="Description">What the template is for.</param>
/// <param name="Parameters">The parameters that a shop can set, in the order of the form.</param>
/// <param name="PublishedAt">When it was published, UTC.</param>
/// <param name="Status">Whether it is offered.</param>
internal sealed record TemplateVersion(
    string Name,
    string Version,
    string Digest,
    long Size,
    string Title,
    string Description,
    IReadOnlyList<TemplateParameter> Parameters,
    DateTimeOffset PublishedAt,
    TemplateStatus Status)
{
    /// <summary>When it is published: what browsers will block, by file and line, such as scripts from other hosts. Absent if there is nothing, and in later answers.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<string>? Warnings { get; init; }
}

/// <summary>Whether a version is offered: <c>published</c>, <c>deprecated</c> (still listed, no longer the default) or <c>yanked</c> (hidden, yet deployable by digest).</summary>
internal enum TemplateStatus
{
    Published,
    Deprecated,
    Yanked,
}
