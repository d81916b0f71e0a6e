using System.Text.Json;

namespace Platform.Templates;

/// <summary>Reads and validates the fields of an object in the manifest, and reports fields that were never read as unknown.</summary>
internal sealed class JsonFields(JsonElement element, string path, TemplateIssues issues)
{
    private readonly HashSet<string> _known = [];

    /// <summary>Whether a field of this object (not of a nested one) was refused.</summary>
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
                Refuse(field, $"does not go with the type {type?.ToString().ToLowerInvariant()}");
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
            Refuse(field, $"must have at most {maxLength} characters");
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

    public T? OneOf<T>(string field) where T : struct, Enum
    {
        if (Text(field, required: true, maxLength: 100) is not { } text)
            return null;
        var values = Enum.GetValues<T>().ToDictionary(value => value.ToString().ToLowerInvariant());
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
            Refuse(field, required ? "must be an array that is not empty" : "must be an array");
            return [];
        }
        if (value.Value.GetArrayLength() > maxCount)
        {
            Refuse(field, $"must have at most {maxCount} items");
            return [];
        }

        var items = new List<JsonFields>();
        foreach (var (index, item) in value.Value.EnumerateArray().Index())
        {
            var itemPath = $"{path}{field}[{index}]";
            if (item.ValueKind == JsonValueKind.Object)
                items.Add(new JsonFields(item, itemPath + ".", issues));
            else
                issues.Add(TemplateManifest.Entry, $"{itemPath} must be an object");
        }
        return items;
    }
}
