using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Checks a shop's settings against its template's parameters.</summary>
internal static partial class SettingsRules
{
    private const int MaxText = 200;
    private const int MaxMultiline = 5_000;
    private const int MaxUrl = 2_000;

    /// <summary>Adds one error for each setting that is unknown, invalid, or required but missing.</summary>
    public static void Check(ValidationErrors errors, IReadOnlyList<TemplateParameter> parameters, IReadOnlyDictionary<string, JsonElement> settings)
    {
        var byName = parameters.ToDictionary(parameter => parameter.Name, StringComparer.Ordinal);
        foreach (var (name, value) in settings)
        {
            if (!byName.TryGetValue(name, out var parameter))
                errors.Add($"settings.{name}", "is not a parameter of the template");
            else if (Refuse(parameter, value) is { } rule)
                errors.Add($"settings.{name}", rule);
        }

        foreach (var parameter in parameters)
        {
            if (parameter is { Required: true, Default: null } && !settings.ContainsKey(parameter.Name))
                errors.Add($"settings.{parameter.Name}", "is required by the template");
        }
    }

    /// <summary>The rule that <paramref name="value"/> breaks, or null.</summary>
    private static string? Refuse(TemplateParameter parameter, JsonElement value) => parameter.Type switch
    {
        "text" => RefuseText(parameter, value, MaxText, multiline: false),
        "multiline" => RefuseText(parameter, value, MaxMultiline, multiline: true),
        "url" => RefuseText(parameter, value, MaxUrl, multiline: false) ?? (value.GetString() is { Length: > 0 } address ? FieldRules.RefuseAddress(address) : null),
        "color" => TryGetText(value, out var color) && Color().IsMatch(color) ? null : "must be a color such as \"#1a2b3c\"",
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False ? null : "must be true or false",
        "number" => RefuseNumber(parameter, value),
        "choice" => RefuseChoice(parameter, value),
        _ => $"is of the type \"{parameter.Type}\", which this version of the platform does not know",
    };

    private static string? RefuseText(TemplateParameter parameter, JsonElement value, int limit, bool multiline)
    {
        if (!TryGetText(value, out var text))
            return "must be text";

        // An optional text may be empty even if the parameter has a minimum length.
        if (text.Length == 0 && !parameter.Required)
            return null;

        var min = Math.Max(parameter.MinLength ?? 0, parameter.Required ? 1 : 0);
        var max = Math.Min(parameter.MaxLength ?? limit, limit);
        if (parameter.Required && string.IsNullOrWhiteSpace(text))
            return "must not be empty";
        if (text.Length < min)
            return string.Create(CultureInfo.InvariantCulture, $"must have at least {min} characters");
        if (text.Length > max)
            return string.Create(CultureInfo.InvariantCulture, $"must have at most {max} characters");
        return FieldRules.RefuseCharacters(text, multiline);
    }

    private static string? RefuseNumber(TemplateParameter parameter, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDecimal(out var number))
            return "must be a number";
        if (number < parameter.Min)
            return string.Create(CultureInfo.InvariantCulture, $"must be at least {parameter.Min}");
        if (number > parameter.Max)
            return string.Create(CultureInfo.InvariantCulture, $"must be at most {parameter.Max}");
        if (parameter.Step is > 0 and var step && (number - (parameter.Min ?? 0)) % step != 0)
            return string.Create(CultureInfo.InvariantCulture, $"must be {parameter.Min ?? 0} plus a multiple of {step}");
        return null;
    }

    private static string? RefuseChoice(TemplateParameter parameter, JsonElement value)
    {
        var choices = parameter.Choices ?? [];
        return TryGetText(value, out var text) && choices.Any(choice => choice.Value == text)
            ? null
            : $"must be one of {string.Join(", ", choices.Select(choice => $"\"{choice.Value}\""))}";
    }

    /// <summary>False for anything but a string, and for one with an unpaired surrogate, which can't be encoded as UTF-8.</summary>
    private static bool TryGetText(JsonElement value, out string text)
    {
        text = "";
        if (value.ValueKind != JsonValueKind.String)
            return false;
        try
        {
            text = value.GetString()!;
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    [GeneratedRegex(@"^#[0-9a-fA-F]{6}\z", RegexOptions.NonBacktracking)]
    private static partial Regex Color();
}
