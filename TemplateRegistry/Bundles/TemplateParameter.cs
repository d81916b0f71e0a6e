using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Platform.Templates;

internal enum TemplateParameterType
{
    Text,
    Multiline,
    Color,
    Url,
    Number,
    Boolean,
    Choice,
}

/// <summary>A value of a <c>choice</c> parameter, and the label shown to merchants.</summary>
internal sealed record TemplateChoice(string Value, string Label);

/// <summary>
/// A setting of a template. Lengths are in UTF-16 code units, like HTML's maxlength. The default of <paramref name="MaxLength"/>, which is also the largest value
/// allowed, is 200 (text), 5,000 (multiline) or 2,000 (url).
/// </summary>
internal sealed partial record TemplateParameter(
    string Name,
    TemplateParameterType Type,
    string Label,
    string? Description = null,
    bool Required = false,
    JsonElement? Default = null,
    int? MinLength = null,
    int? MaxLength = null,
    decimal? Min = null,
    decimal? Max = null,
    decimal? Step = null,
    IReadOnlyList<TemplateChoice>? Choices = null)
{
    private const int MaxChoices = 50;

    /// <summary>What is wrong with a merchant's value for this parameter, or null.</summary>
    public string? Check(JsonElement value) => Type switch
    {
        TemplateParameterType.Number => CheckNumber(value),
        TemplateParameterType.Boolean => value.ValueKind is JsonValueKind.True or JsonValueKind.False ? null : "must be true or false",
        _ when value.ValueKind != JsonValueKind.String => "must be a string",
        _ => CheckString(value.GetString()!),
    };

    /// <summary>The value used if the merchant gave none: the default, else an empty string, zero or false.</summary>
    public JsonElement ValueWhenAbsent() => Default ?? JsonSerializer.SerializeToElement<object>(Type switch
    {
        TemplateParameterType.Number => 0,
        TemplateParameterType.Boolean => false,
        _ => "",
    });

    private string? CheckString(string value)
    {
        if (value.Length == 0 && Type is not (TemplateParameterType.Color or TemplateParameterType.Choice))
            return Required ? "is required" : null;

        return Type switch
        {
            TemplateParameterType.Color => ColorPattern().IsMatch(value) ? null : "must be a colour such as #0f766e",
            TemplateParameterType.Choice => Choices!.Any(c => c.Value == value)
                ? null
                : $"must be one of {string.Join(", ", Choices!.Select(c => c.Value))}",
            _ => CheckLength(value) ?? CheckCharacters(value),
        };
    }

    private string? CheckLength(string value)
    {
        var (min, max) = (MinLength ?? 0, MaxLength ?? LongestOf(Type));
        return value.Length < min ? $"must have at least {min} characters"
            : value.Length > max ? $"must have at most {max} characters"
            : null;
    }

    private string? CheckCharacters(string value) => Type switch
    {
        TemplateParameterType.Url => IsSafeUrl(value) ? null : "must be an http or https address, or a path that begins with one slash",
        TemplateParameterType.Multiline => value.Any(c => char.IsControl(c) && c is not ('\n' or '\r' or '\t'))
            ? "must not have control characters" : null,
        _ => value.Any(char.IsControl) ? "must be one line without control characters" : null,
    };

    private string? CheckNumber(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDecimal(out var number))
            return "must be a number";
        if (number < Min)
            return Invariant($"must be at least {Min}");
        if (number > Max)
            return Invariant($"must be at most {Max}");
        return Step is { } step && (number - (Min ?? 0)) % step != 0 ? Invariant($"must be in steps of {step} from {Min ?? 0}") : null;
    }

    /// <summary>Whether an untrusted URL is safe in an href or src: http, https, or an absolute path.</summary>
    internal static bool IsSafeUrl(string value)
    {
        if (value.Any(c => char.IsControl(c) || char.IsWhiteSpace(c) || c is '\\' or '"' or '\'' or '<' or '>' or '`'))
            return false;
        if (value.StartsWith('/'))
            return !value.StartsWith("//", StringComparison.Ordinal);
        return Uri.TryCreate(value, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.Host.Length > 0;
    }

    internal static TemplateParameter Read(JsonFields fields)
    {
        var name = fields.Text("name", required: true, maxLength: 63) ?? "";
        var type = fields.OneOf<TemplateParameterType>("type");
        var label = fields.Text("label", required: true, maxLength: 100);
        var description = fields.Text("description", required: false, maxLength: 500);
        var required = fields.Boolean("required") ?? false;
        var @default = fields.Any("default");
        var minLength = fields.Number("minLength");
        var maxLength = fields.Number("maxLength");
        var min = fields.Number("min");
        var max = fields.Number("max");
        var step = fields.Number("step");
        var choices = fields.Objects("choices", required: type == TemplateParameterType.Choice, MaxChoices).ConvertAll(ReadChoice);
        fields.RefuseOthers();

        if (name.Length > 0 && !NamePattern().IsMatch(name))
            fields.Refuse("name", "must be 1 to 63 letters and digits, beginning with a lower-case letter");

        if (type is null)
            return new(name, default, "");

        var hasLength = type is TemplateParameterType.Text or TemplateParameterType.Multiline or TemplateParameterType.Url;
        fields.RefuseUnless(hasLength, type, "minLength", "maxLength");
        fields.RefuseUnless(type == TemplateParameterType.Number, type, "min", "max", "step");
        fields.RefuseUnless(type == TemplateParameterType.Choice, type, "choices");

        if (hasLength)
        {
            var longest = LongestOf(type.Value);
            foreach (var (field, length) in new[] { ("minLength", minLength), ("maxLength", maxLength) })
            {
                if (length is { } l && (l < 0 || l > longest || decimal.Truncate(l) != l))
                    fields.Refuse(field, $"must be a whole number from 0 to {longest}");
            }
            if (minLength > (maxLength ?? longest))
                fields.Refuse("minLength", "must not be above maxLength");
        }

        if (min > max)
            fields.Refuse("min", "must not be above max");
        if (step <= 0)
            fields.Refuse("step", "must be above 0");

        foreach (var choice in choices.Where(c => c.Value.Length > 0 && !ChoicePattern().IsMatch(c.Value)))
            fields.Refuse("choices", $"'{choice.Value}' must be 1 to 64 letters, digits, hyphens and underscores, because choices may appear in CSS");
        foreach (var duplicate in choices.GroupBy(c => c.Value).Where(g => g.Count() > 1))
            fields.Refuse("choices", $"has '{duplicate.Key}' twice");

        if (fields.Wrong)
            return new(name, type.Value, "");

        var parameter = new TemplateParameter(
            name, type.Value, label!, description, required, @default, (int?)minLength, (int?)maxLength, min, max, step,
            type == TemplateParameterType.Choice ? choices : null);
        if (@default is { } value && parameter.Check(value) is { } rule)
            fields.Refuse("default", rule);
        // Values of these types may be used in CSS, where an empty one would break the surrounding rule.
        if (@default is null && !required && type is TemplateParameterType.Color or TemplateParameterType.Number or TemplateParameterType.Choice)
            fields.Refuse("default", $"is needed for a {type.Value.ToString().ToLowerInvariant()} that is not required");
        return parameter;
    }

    private static TemplateChoice ReadChoice(JsonFields fields)
    {
        var value = fields.Text("value", required: true, maxLength: 64);
        var label = fields.Text("label", required: true, maxLength: 100);
        fields.RefuseOthers();
        return new(value ?? "", label ?? "");
    }

    private static int LongestOf(TemplateParameterType type) => type switch
    {
        TemplateParameterType.Multiline => 5_000,
        TemplateParameterType.Url => 2_000,
        _ => 200,
    };

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^[a-z][a-zA-Z0-9]{0,62}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex ChoicePattern();

    [GeneratedRegex(@"^#[0-9a-fA-F]{6}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex ColorPattern();
}
