using System.Text.Json;

namespace Platform.Backend.Templates;

/// <summary>A template and its versions on offer, newest first.</summary>
public sealed record Template
{
    /// <summary>The template's name, unique in the registry.</summary>
    public required string Name { get; init; }

    /// <summary>The title to show to people, of the latest version.</summary>
    public required string Title { get; init; }

    /// <summary>What the template is for, of the latest version.</summary>
    public string? Description { get; init; }

    /// <summary>The version that is used when none is asked for; absent when every version was withdrawn.</summary>
    public string? LatestVersion { get; init; }

    /// <summary>How many shops use it, as they were last counted.</summary>
    public int Shops { get; init; }

    /// <summary>The versions on offer; a withdrawn one is not among them.</summary>
    public IReadOnlyList<TemplateRelease> Versions { get; init; } = [];

    /// <summary>True when the registry could not be asked and this is its last good answer; the <c>Age</c> header says how old.</summary>
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
/// <param name="Stale">True when the registry could not be asked and this is its last good answer; the <c>Age</c> header says how old.</param>
public sealed record TemplatePage(IReadOnlyList<Template> Items, string? NextCursor, bool Stale);

/// <summary>Everything about one version of a template, its parameters above all.</summary>
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

    /// <summary>The title to show to people.</summary>
    public required string Title { get; init; }

    /// <summary>What the template is for.</summary>
    public string? Description { get; init; }

    /// <summary>What a shop can set, in the order of the form.</summary>
    public IReadOnlyList<TemplateParameter> Parameters { get; init; } = [];

    /// <summary>When the version was published, UTC.</summary>
    public required DateTimeOffset PublishedAt { get; init; }

    /// <summary><c>published</c>, <c>deprecated</c>, or <c>yanked</c> (withdrawn: new shops cannot choose it).</summary>
    public required string Status { get; init; }

    /// <summary>True when the registry could not be asked and this is its last good answer; the <c>Age</c> header says how old.</summary>
    public bool? Stale { get; init; }
}

/// <summary>One thing that a shop can set, and the limits of its value.</summary>
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

    /// <summary>Whether a shop must give a value; one with a default never must.</summary>
    public bool Required { get; init; }

    /// <summary>The value of a shop that gives none, of the parameter's JSON type.</summary>
    public JsonElement? Default { get; init; }

    /// <summary>The least length of a text, multiline or url, in UTF-16 code units.</summary>
    public int? MinLength { get; init; }

    /// <summary>The greatest length of a text, multiline or url, in UTF-16 code units.</summary>
    public int? MaxLength { get; init; }

    /// <summary>The least number.</summary>
    public decimal? Min { get; init; }

    /// <summary>The greatest number.</summary>
    public decimal? Max { get; init; }

    /// <summary>A number is <see cref="Min"/> (or 0) plus a multiple of this.</summary>
    public decimal? Step { get; init; }

    /// <summary>What a choice can be.</summary>
    public IReadOnlyList<TemplateChoice>? Choices { get; init; }
}

/// <summary>One value of a choice.</summary>
/// <param name="Value">What is stored in a shop's settings.</param>
/// <param name="Label">What a person reads.</param>
public sealed record TemplateChoice(string Value, string Label);
