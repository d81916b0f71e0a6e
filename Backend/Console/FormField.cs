using System.Globalization;
using System.Text.Json;
using Platform.Backend.Templates;

namespace Platform.Backend.Console;

/// <summary>A form control: its name, label, limits, value and errors.</summary>
/// <param name="Name">The field as the API names it: <c>name</c>, <c>settings.tagline</c>, <c>products[0].price</c>.</param>
/// <param name="Label">The label that people see.</param>
/// <param name="Type">The type of a template parameter.</param>
public sealed record FormField(string Name, string Label, string Type = "text")
{
    public string? Hint { get; init; }

    public string? Value { get; init; }

    public bool Required { get; init; }

    /// <summary>Whether the label says "optional". The fields of a product are required only once the row is not blank, which HTML can't express.</summary>
    public bool IsOptional { get => field && !Required; init; } = true;

    public int? MinLength { get; init; }

    public int? MaxLength { get; init; }

    public string? Min { get; init; }

    public string? Max { get; init; }

    public string? Step { get; init; }

    public string? Prefix { get; init; }

    public string? Placeholder { get; init; }

    public string? InputMode { get; init; }

    public string? SpellCheck { get; init; }

    /// <summary>The id of a datalist with suggestions.</summary>
    public string? List { get; init; }

    public int Rows { get; init; } = 4;

    public bool Autofocus { get; init; }

    public IReadOnlyList<TemplateChoice> Choices { get; init; } = [];

    public IReadOnlyList<string> Errors { get; init; } = [];

    public string Id => IdOf(Name);

    /// <summary>The id of a field's control, for labels and for the links in the error summary.</summary>
    public static string IdOf(string name) => "field-" + name.Replace("].", "-", StringComparison.Ordinal).Replace('[', '-').Replace('.', '-').TrimEnd(']');

    /// <summary>The control for a template parameter.</summary>
    public static FormField Of(TemplateParameter parameter, string? value, IReadOnlyList<string> errors) =>
        new($"settings.{parameter.Name}", parameter.Label, parameter.Type)
        {
            Hint = parameter.Description,
            Value = value,
            Required = parameter.Required && parameter.Type != "boolean",
            // The other types always have a value.
            IsOptional = parameter.Type is "text" or "multiline" or "url",
            MinLength = parameter.MinLength,
            MaxLength = parameter.MaxLength,
            Min = parameter.Min?.ToString(CultureInfo.InvariantCulture),
            Max = parameter.Max?.ToString(CultureInfo.InvariantCulture),
            Step = parameter.Step?.ToString(CultureInfo.InvariantCulture),
            InputMode = parameter.Type == "url" ? "url" : null,
            SpellCheck = parameter.Type == "url" ? "false" : null,
            Placeholder = parameter.Type == "url" ? "https://" : null,
            Choices = parameter.Choices ?? [],
            Errors = errors,
        };

    /// <summary>A setting's value as the text of its control.</summary>
    public static string TextOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Null or JsonValueKind.Undefined => "",
        _ => value.GetRawText(),
    };
}
