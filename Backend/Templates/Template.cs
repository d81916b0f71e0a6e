using System.Text.Json;
using System.Text.Json.Serialization;

namespace Platform.Backend.Templates;

/// <summary>A template and its available versions, newest first.</summary>
public sealed record Template
{
    /// <summary>The template's name, unique in the registry.</summary>
    public required string Name { get; init; }

    /// <summary>The title of the latest version.</summary>
    public required string Title { get; init; }

    /// <summary>What the template is for, of the latest version.</summary>
    public string? Description { get; init; }

    /// <summary>The version used by default; absent if every version is deprecated.</summary>
    public string? LatestVersion { get; init; }

    /// <summary>How many shops use it, as last reported.</summary>
    public int Shops { get; init; }

    /// <summary>The available versions; withdrawn ones are not listed.</summary>
    public IReadOnlyList<TemplateRelease> Versions { get; init; } = [];

    /// <summary>True if the registry is unavailable and this is its last known answer; the <c>Age</c> header says how old.</summary>
    public bool? Stale { get; init; }
}

/// <summary>One version in a template's list of versions.</summary>
public sealed record TemplateRelease
{
    /// <summary>The semantic version.</summary>
    public required string Version { get; init; }

    /// <summary><c>sha256:</c> and the hexadecimal SHA-256 of the bundle.</summary>
    public required string Digest { get; init; }

    /// <summary>When the version was published, UTC.</summary>
    public required DateTimeOffset PublishedAt { get; init; }

    /// <summary><c>published</c> or <c>deprecated</c>.</summary>
    public required string Status { get; init; }
}

/// <summary>One page of templates.</summary>
/// <param name="Items">The templates, by name.</param>
/// <param name="NextCursor">Pass it as <c>cursor</c> to get the next page; absent on the last one.</param>
/// <param name="Stale">True if the registry is unavailable and this is its last known answer; the <c>Age</c> header says how old.</param>
public sealed record TemplatePage(IReadOnlyList<Template> Items, string? NextCursor, bool Stale);

/// <summary>A version of a template, with its parameters.</summary>
public sealed record TemplateVersion
{
    /// <summary>The template's name.</summary>
    public required string Name { get; init; }

    /// <summary>The semantic version.</summary>
    public required string Version { get; init; }

    /// <summary><c>sha256:</c> and the hexadecimal SHA-256 of the bundle.</summary>
    public required string Digest { get; init; }

    /// <summary>The size of the bundle in bytes.</summary>
    public long Size { get; init; }

    /// <summary>The template's title.</summary>
    public required string Title { get; init; }

    /// <summary>What the template is for.</summary>
    public string? Description { get; init; }

    /// <summary>The parameters that a shop can set, in the order of the form.</summary>
    public IReadOnlyList<TemplateParameter> Parameters { get; init; } = [];

    /// <summary>When it is published: what browsers will block, by file and line, such as scripts from other hosts. Absent if there is nothing, and in later answers.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<string>? Warnings { get; init; }

    /// <summary>When the version was published, UTC.</summary>
    public required DateTimeOffset PublishedAt { get; init; }

    /// <summary><c>published</c>, <c>deprecated</c>, or <c>yanked</c> (withdrawn: new shops cannot choose it).</summary>
    public required string Status { get; init; }

    /// <summary>True if the registry is unavailable and this is its last known answer; the <c>Age</c> header says how old.</summary>
    public bool? Stale { get; init; }
}

/// <summary>A parameter that a shop can set, and its limits.</summary>
public sealed record TemplateParameter
{
    /// <summary>The key in a shop's <c>settings</c>.</summary>
    public required string Name { get; init; }

    /// <summary><c>text</c>, <c>multiline</c>, <c>color</c>, <c>url</c>, <c>number</c>, <c>boolean</c> or <c>choice</c>.</summary>
    public required string Type { get; init; }

    /// <summary>The label of the form's field.</summary>
    public required string Label { get; init; }

    /// <summary>A sentence of help.</summary>
    public string? Description { get; init; }

    /// <summary>Whether a shop must set a value; never the case if there is a default.</summary>
    public bool Required { get; init; }

    /// <summary>The value used if a shop sets none; of the parameter's JSON type.</summary>
    public JsonElement? Default { get; init; }

    /// <summary>Minimum length of a text, multiline or url, in UTF-16 code units.</summary>
    public int? MinLength { get; init; }

    /// <summary>Maximum length of a text, multiline or url, in UTF-16 code units.</summary>
    public int? MaxLength { get; init; }

    /// <summary>Smallest number.</summary>
    public decimal? Min { get; init; }

    /// <summary>Largest number.</summary>
    public decimal? Max { get; init; }

    /// <summary>A number is <see cref="Min"/> (or 0) plus a multiple of this.</summary>
    public decimal? Step { get; init; }

    /// <summary>The values of a choice.</summary>
    public IReadOnlyList<TemplateChoice>? Choices { get; init; }
}

/// <summary>One value of a choice.</summary>
/// <param name="Value">The value stored in a shop's settings.</param>
/// <param name="Label">The label shown to merchants.</param>
public sealed record TemplateChoice(string Value, string Label);
