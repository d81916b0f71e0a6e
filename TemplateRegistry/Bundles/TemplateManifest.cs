using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace Platform.Templates;

/// <summary>What a bundle's <c>template.json</c> says: the template's identity, what a merchant can set, and which pages a store gets.</summary>
internal sealed record TemplateManifest(
    string Name,
    string Version,
    string Title,
    string Description,
    IReadOnlyList<TemplateParameter> Parameters,
    IReadOnlyList<TemplatePage> Pages)
{
    /// <summary>The manifest's path in a bundle.</summary>
    public const string Entry = "template.json";

    private const int MaxParameters = 50;
    private const int MaxPages = 50;

    /// <summary>Reads and checks a manifest. Everything wrong with it becomes an issue; null when there was any.</summary>
    public static TemplateManifest? Read(ReadOnlyMemory<byte> json, TemplateIssues issues)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowDuplicateProperties = false, MaxDepth = 16 });
        }
        catch (JsonException e)
        {
            issues.Add(Entry, (int?)e.LineNumber + 1, $"is not valid JSON: {JsonProblem(e)}");
            return null;
        }

        using (document)
        {
            try
            {
                return Read(document.RootElement, issues);
            }
            catch (InvalidOperationException)
            {
                // JsonElement's only way to say that an escape such as \ud800 stands for no character
                issues.Add(Entry, "has a string that is not valid Unicode");
                return null;
            }
        }
    }

    private static TemplateManifest? Read(JsonElement root, TemplateIssues issues)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            issues.Add(Entry, "must be a JSON object");
            return null;
        }

        var before = issues.Count;
        var fields = new JsonFields(root, "", issues);
        var name = fields.Text("name", required: true, maxLength: 63);
        var version = fields.Text("version", required: true, maxLength: TemplateNames.MaxVersionLength);
        var title = fields.Text("title", required: true, maxLength: 100);
        var description = fields.Text("description", required: false, maxLength: 1_000);
        var parameters = fields.Objects("parameters", required: false, MaxParameters).ConvertAll(TemplateParameter.Read);
        var pages = fields.Objects("pages", required: true, MaxPages).ConvertAll(TemplatePage.Read);
        fields.RefuseOthers();

        if (name is { Length: > 0 } && !TemplateNames.IsName(name))
            fields.Refuse("name", TemplateNames.NameRule);
        if (version is { Length: > 0 } && !TemplateNames.IsVersion(version))
            fields.Refuse("version", TemplateNames.VersionRule);
        foreach (var twice in parameters.GroupBy(p => p.Name).Where(g => g.Key.Length > 0 && g.Count() > 1))
            fields.Refuse("parameters", $"has '{twice.Key}' twice");
        TemplatePage.CheckTogether(pages, fields);

        return issues.Count > before ? null : new TemplateManifest(name!, version!, title!, description ?? "", parameters, pages);
    }

    // The framework's message ends in a path and a position that the issue already gives.
    private static string JsonProblem(JsonException e) =>
        e.Message.Split(" Path:", 2)[0].Split(" LineNumber:", 2)[0];
}

/// <summary>The names of templates and their versions.</summary>
internal static partial class TemplateNames
{
    public const int MaxVersionLength = 64;
    public const string NameRule = "must be 2 to 63 lower-case letters, digits and hyphens, beginning with a letter";
    public const string VersionRule =
        "must be a semantic version such as 1.0.0 or 2.0.0-beta.1, of at most 64 characters and without build metadata (+…), which takes no part in precedence";

    public static bool IsName(string value) => NamePattern().IsMatch(value);

    public static bool IsVersion(string value) => value.Length <= MaxVersionLength && VersionPattern().IsMatch(value);

    [GeneratedRegex(@"^[a-z][a-z0-9-]{1,62}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex NamePattern();

    // The numbers are limited to nine digits so that every reader of versions can hold them.
    [GeneratedRegex(
        @"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})" +
        @"(-(0|[1-9][0-9]{0,8}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?\z",
        RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex VersionPattern();
}

[JsonConverter(typeof(JsonStringEnumConverter<TemplateParameterType>))]
internal enum TemplateParameterType
{
    [JsonStringEnumMemberName("text")]
    Text,
    [JsonStringEnumMemberName("multiline")]
    Multiline,
    [JsonStringEnumMemberName("color")]
    Color,
    [JsonStringEnumMemberName("url")]
    Url,
    [JsonStringEnumMemberName("number")]
    Number,
    [JsonStringEnumMemberName("boolean")]
    Boolean,
    [JsonStringEnumMemberName("choice")]
    Choice,
}

/// <summary>One of the values of a <c>choice</c> parameter, and what a merchant reads for it.</summary>
internal sealed record TemplateChoice(string Value, string Label);

/// <summary>
/// Something a merchant can set. Lengths are in UTF-16 code units, as HTML's maxlength counts them, and default to 200 (text),
/// 5,000 (multiline) and 2,000 (url), which are also the most a template may ask for.
/// </summary>
internal sealed partial record TemplateParameter(
    string Name,
    TemplateParameterType Type,
    string Label,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Description,
    bool Required,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonElement? Default,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? MinLength,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? MaxLength,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] decimal? Min,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] decimal? Max,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] decimal? Step,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<TemplateChoice>? Choices)
{
    private const int MaxChoices = 50;

    /// <summary>Says what is wrong with a merchant's value for this parameter; null when nothing is.</summary>
    public string? Check(JsonElement value) => Type switch
    {
        TemplateParameterType.Number => CheckNumber(value),
        TemplateParameterType.Boolean => value.ValueKind is JsonValueKind.True or JsonValueKind.False ? null : "must be true or false",
        _ when value.ValueKind != JsonValueKind.String => "must be a string",
        _ => CheckString(value.GetString()!),
    };

    /// <summary>The value a page sees when the merchant gave none: the default, else an empty string, zero or false.</summary>
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

    /// <summary>True for what can stand in an href or src whoever wrote it: http, https, or a path from the root of the host.</summary>
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
        var type = fields.OneOf("type", Types);
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
            return new(name, default, "", null, required, null, null, null, null, null, null, null);

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
                    fields.Refuse(field, Invariant($"must be a whole number from 0 to {longest}"));
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
        foreach (var twice in choices.GroupBy(c => c.Value).Where(g => g.Count() > 1))
            fields.Refuse("choices", $"has '{twice.Key}' twice");

        if (fields.Wrong)
            return new(name, type.Value, "", null, required, null, null, null, null, null, null, null);

        var parameter = new TemplateParameter(
            name, type.Value, label!, description, required, @default, (int?)minLength, (int?)maxLength, min, max, step,
            type == TemplateParameterType.Choice ? choices : null);
        if (@default is { } value && parameter.Check(value) is { } rule)
            fields.Refuse("default", rule);
        // These stand in CSS, where an empty value would break the rule around it.
        if (@default is null && !required && type is TemplateParameterType.Color or TemplateParameterType.Number or TemplateParameterType.Choice)
            fields.Refuse("default", $"is needed for a {Types.First(t => t.Value == type).Key} that is not required");
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

    private static readonly Dictionary<string, TemplateParameterType> Types =
        Enum.GetValues<TemplateParameterType>().ToDictionary(type => JsonSerializer.SerializeToElement(type).GetString()!);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^[a-z][a-zA-Z0-9]{0,62}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex ChoicePattern();

    [GeneratedRegex(@"^#[0-9a-fA-F]{6}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex ColorPattern();
}

/// <summary>A page of the store, or with <paramref name="ForEach"/> one page per product, whose path then has <c>{slug}</c> in it.</summary>
internal sealed partial record TemplatePage(
    string Path,
    string Template,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? ForEach)
{
    public const string Slug = "{slug}";
    public const string Products = "products";

    /// <summary>Where the store keeps its assets; no page may be there.</summary>
    public const string AssetsFolder = "_assets";

    private static readonly string[] Compulsory = ["index.html", "404.html"];

    /// <summary>This page's path for one product.</summary>
    public string PathFor(string productSlug) => Path.Replace(Slug, productSlug, StringComparison.Ordinal);

    internal static TemplatePage Read(JsonFields fields)
    {
        var path = fields.Text("path", required: true, maxLength: 200) ?? "";
        var template = fields.Text("template", required: true, maxLength: 200) ?? "";
        var forEach = fields.Text("forEach", required: false, maxLength: 20);
        fields.RefuseOthers();

        if (path.Length > 0 && !PathPattern().IsMatch(path.Replace(Slug, "slug", StringComparison.Ordinal)))
            fields.Refuse("path", "must be a relative path of letters, digits, '.', '_' and '-' that ends in .html, such as about/index.html");
        if (path.StartsWith(AssetsFolder + "/", StringComparison.OrdinalIgnoreCase))
            fields.Refuse("path", $"must not be in {AssetsFolder}/, where assets are");
        if (forEach is not null and not Products)
            fields.Refuse("forEach", $"must be \"{Products}\".");

        var slugs = path.Split(Slug).Length - 1;
        if (forEach is not null && slugs != 1)
            fields.Refuse("path", $"must have {Slug} once, because the page is made for each product");
        if (forEach is null && slugs > 0)
            fields.Refuse("path", $"can have {Slug} only together with \"forEach\": \"{Products}\".");
        return new(path, template, forEach);
    }

    internal static void CheckTogether(List<TemplatePage> pages, JsonFields fields)
    {
        foreach (var missing in Compulsory.Where(path => pages.TrueForAll(p => p.Path != path)))
            fields.Refuse("pages", $"must have a page with the path {missing}");
        foreach (var twice in pages.GroupBy(p => p.Path, StringComparer.OrdinalIgnoreCase).Where(g => g.Key.Length > 0 && g.Count() > 1))
            fields.Refuse("pages", $"has the path {twice.Key} twice");

        foreach (var perProduct in pages)
        {
            if (perProduct.Path.Split(Slug) is not [_, _] ends)
                continue;
            var clash = pages.Find(p => p != perProduct
                && p.Path.StartsWith(ends[0], StringComparison.OrdinalIgnoreCase)
                && p.Path.EndsWith(ends[1], StringComparison.OrdinalIgnoreCase)
                && p.Path.Length > ends[0].Length + ends[1].Length
                && !p.Path[ends[0].Length..^ends[1].Length].Contains('/', StringComparison.Ordinal));
            if (clash is not null)
                fields.Refuse("pages", $"{clash.Path} could be the page of a product as well ({perProduct.Path})");
        }
    }

    [GeneratedRegex(@"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*\.html\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex PathPattern();
}

/// <summary>Something wrong with a bundle: which entry, on which line if it is a line's fault, and why.</summary>
internal sealed record TemplateIssue(string Entry, int? Line, string Reason)
{
    /// <summary>The reason, worded to follow the entry's name.</summary>
    public override string ToString() => Line is { } line ? $"line {line.ToString(CultureInfo.InvariantCulture)}: {Reason}" : Reason;
}

/// <summary>Collects what is wrong with a bundle. Only the first hundred issues are kept; a bundle with more is hopeless anyway.</summary>
internal sealed class TemplateIssues
{
    private const int Kept = 100;
    private readonly List<TemplateIssue> _items = [];

    public IReadOnlyList<TemplateIssue> Items => _items;

    public bool Any => Count > 0;

    /// <summary>How many there are, including those not kept.</summary>
    public int Count { get; private set; }

    public void Add(string entry, string reason) => Add(entry, null, reason);

    public void Add(string entry, int? line, string reason)
    {
        Count++;
        if (_items.Count < Kept)
            _items.Add(new(entry, line, reason));
    }
}

/// <summary>Reads an object's fields and remembers which were asked for, so that the others can be refused by name.</summary>
internal sealed class JsonFields(JsonElement element, string path, TemplateIssues issues)
{
    private readonly HashSet<string> _known = [];

    /// <summary>True once a field of this very object was refused.</summary>
    public bool Wrong { get; private set; }

    public void Refuse(string field, string rule)
    {
        Wrong = true;
        issues.Add(TemplateManifest.Entry, $"{path}{field} {rule}");
    }

    public void RefuseOthers()
    {
        foreach (var property in element.EnumerateObject().Where(p => !_known.Contains(p.Name)))
            Refuse(property.Name, "is not a field of a template's manifest");
    }

    public void RefuseUnless(bool applicable, TemplateParameterType? type, params ReadOnlySpan<string> fields)
    {
        foreach (var field in fields)
        {
            if (!applicable && element.TryGetProperty(field, out _))
                Refuse(field, $"does not go with the type {JsonSerializer.SerializeToElement(type).GetString()}");
        }
    }

    public JsonElement? Any(string field)
    {
        _known.Add(field);
        return element.TryGetProperty(field, out var value) && value.ValueKind != JsonValueKind.Null ? value.Clone() : null;
    }

    public string? Text(string field, bool required, int maxLength)
    {
        if (Any(field) is not { } value)
        {
            if (required)
                Refuse(field, "is required");
            return null;
        }

        if (value.ValueKind != JsonValueKind.String)
            Refuse(field, "must be a string");
        else if (value.GetString() is var text && string.IsNullOrWhiteSpace(text) && required)
            Refuse(field, "must not be empty");
        else if (text!.Length > maxLength)
            Refuse(field, string.Create(CultureInfo.InvariantCulture, $"must have at most {maxLength} characters"));
        else if (text.Any(char.IsControl))
            Refuse(field, "must not have control characters");
        else
            return text;
        return null;
    }

    public bool? Boolean(string field)
    {
        if (Any(field) is not { } value)
            return null;
        if (value.ValueKind is JsonValueKind.True or JsonValueKind.False)
            return value.GetBoolean();
        Refuse(field, "must be true or false");
        return null;
    }

    public decimal? Number(string field)
    {
        if (Any(field) is not { } value)
            return null;
        if (value.ValueKind == JsonValueKind.Number && value.TryGetDecimal(out var number))
            return number;
        Refuse(field, "must be a number");
        return null;
    }

    public T? OneOf<T>(string field, IReadOnlyDictionary<string, T> values) where T : struct
    {
        if (Text(field, required: true, maxLength: 100) is not { } text)
            return null;
        if (values.TryGetValue(text, out var value))
            return value;
        Refuse(field, $"must be one of {string.Join(", ", values.Keys)}");
        return null;
    }

    public List<JsonFields> Objects(string field, bool required, int maxCount)
    {
        var value = Any(field);
        if (value is null && !required)
            return [];
        if (value is not { ValueKind: JsonValueKind.Array } || (required && value.Value.GetArrayLength() == 0))
        {
            Refuse(field, required ? "must be an array with something in it" : "must be an array");
            return [];
        }
        if (value.Value.GetArrayLength() > maxCount)
        {
            Refuse(field, string.Create(CultureInfo.InvariantCulture, $"must have at most {maxCount} items"));
            return [];
        }

        var items = new List<JsonFields>();
        foreach (var (index, item) in value.Value.EnumerateArray().Index())
        {
            var itemPath = string.Create(CultureInfo.InvariantCulture, $"{path}{field}[{index}]");
            if (item.ValueKind == JsonValueKind.Object)
                items.Add(new JsonFields(item, itemPath + ".", issues));
            else
                issues.Add(TemplateManifest.Entry, $"{itemPath} must be an object");
        }
        return items;
    }
}
