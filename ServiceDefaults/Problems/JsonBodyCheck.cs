using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Platform.ServiceDefaults.Problems;

/// <summary>Validates JSON against the type that it will be deserialized to, and reports every invalid field. Deserialization itself stops at the first.</summary>
public sealed class JsonBodyCheck(JsonSerializerOptions options)
{
    // More is of no use to anybody, and a response must not be larger than its request.
    private const int MaxErrors = 100;

    /// <summary>Adds every reason why <paramref name="utf8"/> isn't a valid <paramref name="type"/> to <paramref name="errors"/>.</summary>
    public void Check(ReadOnlyMemory<byte> utf8, Type type, ValidationErrors errors)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(utf8, new JsonDocumentOptions { MaxDepth = options.MaxDepth });
        }
        catch (JsonException exception)
        {
            errors.Add(Rules.Body, exception.LineNumber is { } line && exception.BytePositionInLine is { } position
                ? $"is not valid JSON (line {line + 1}, byte {position + 1})"
                : "is not valid JSON");
            return;
        }

        using (document)
        {
            var budget = MaxErrors;
            CheckValue(document.RootElement, type, "", isNullAllowed: false, errors, ref budget);
        }
    }

    private void CheckValue(JsonElement value, Type type, string path, bool isNullAllowed, ValidationErrors errors, ref int budget)
    {
        if (budget <= 0)
        {
            return;
        }

        if (value.ValueKind == JsonValueKind.Null)
        {
            if (!isNullAllowed && type != typeof(JsonElement))
            {
                Add(path, Rules.NotNull, errors, ref budget);
            }

            return;
        }

        var contract = options.GetTypeInfo(type);
        switch (contract.Kind)
        {
            case JsonTypeInfoKind.Dictionary:
            case JsonTypeInfoKind.Object when contract.PolymorphismOptions is null:
                if (value.ValueKind != JsonValueKind.Object)
                {
                    Add(path, "must be an object", errors, ref budget);
                }
                else if (contract.Kind == JsonTypeInfoKind.Object)
                {
                    CheckObject(value, contract, path, errors, ref budget);
                }
                else
                {
                    CheckDictionary(value, contract.ElementType!, path, errors, ref budget);
                }

                return;

            case JsonTypeInfoKind.Enumerable:
                if (value.ValueKind != JsonValueKind.Array)
                {
                    Add(path, "must be an array", errors, ref budget);
                    return;
                }

                var index = 0;
                foreach (var item in value.EnumerateArray())
                {
                    CheckValue(item, contract.ElementType!, $"{path}[{index++}]", Nullable.GetUnderlyingType(contract.ElementType!) is not null, errors, ref budget);
                }

                return;

            default:
                CheckLeaf(value, type, path, errors, ref budget);
                return;
        }
    }

    private void CheckObject(JsonElement value, JsonTypeInfo contract, string path, ValidationErrors errors, ref int budget)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in value.EnumerateObject())
        {
            var name = Join(path, member.Name);
            if (!seen.Add(member.Name))
            {
                Add(name, Rules.Repeated, errors, ref budget);
                continue;
            }

            var property = contract.Properties.FirstOrDefault(candidate => candidate.Name == member.Name);
            if (property is null || property is { Set: null, AssociatedParameter: null })
            {
                if (contract.UnmappedMemberHandling == JsonUnmappedMemberHandling.Disallow || options.UnmappedMemberHandling == JsonUnmappedMemberHandling.Disallow)
                {
                    Add(name, Rules.Unknown, errors, ref budget);
                }

                continue;
            }

            var isNullAllowed = property.AssociatedParameter?.IsNullable ?? property.IsSetNullable;
            if ((property.CustomConverter ?? (object?)property.NumberHandling) is not null && member.Value.ValueKind != JsonValueKind.Null)
            {
                CheckNul(member.Value, name, errors, ref budget);
                continue;
            }

            CheckValue(member.Value, property.PropertyType, name, isNullAllowed && IsNullable(property.PropertyType), errors, ref budget);
        }

        foreach (var property in contract.Properties)
        {
            var isRequired = property.IsRequired || (property.AssociatedParameter is { HasDefaultValue: false } && options.RespectRequiredConstructorParameters);
            if (isRequired && !seen.Contains(property.Name))
            {
                Add(Join(path, property.Name), Rules.Required, errors, ref budget);
            }
        }
    }

    private void CheckDictionary(JsonElement value, Type elementType, string path, ValidationErrors errors, ref int budget)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in value.EnumerateObject())
        {
            var name = Join(path, member.Name);
            if (!seen.Add(member.Name))
            {
                Add(name, Rules.Repeated, errors, ref budget);
            }
            else if (member.Name.Contains('\0'))
            {
                Add(name, Rules.NoNul, errors, ref budget);
            }
            else
            {
                CheckValue(member.Value, elementType, name, IsNullable(elementType) && elementType != typeof(string), errors, ref budget);
            }
        }
    }

    private void CheckLeaf(JsonElement value, Type type, string path, ValidationErrors errors, ref int budget)
    {
        var before = budget;
        CheckNul(value, path, errors, ref budget);
        if (before != budget)
        {
            return;
        }

        try
        {
            _ = value.Deserialize(type, options);
        }
        catch (JsonException)
        {
            Add(path, Rules.MustBe(type), errors, ref budget);
        }
        catch (NotSupportedException)
        {
            // Can't be validated on its own. Binding will.
        }
    }

    // PostgreSQL's text and jsonb can't store NUL, and lone surrogates can't be encoded in UTF-8.
    private static void CheckNul(JsonElement value, string path, ValidationErrors errors, ref int budget)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                try
                {
                    if (value.GetString()!.Contains('\0'))
                    {
                        Add(path, Rules.NoNul, errors, ref budget);
                    }
                }
                catch (InvalidOperationException)
                {
                    Add(path, "must be valid Unicode", errors, ref budget);
                }

                break;

            case JsonValueKind.Array:
                var index = 0;
                foreach (var item in value.EnumerateArray())
                {
                    CheckNul(item, $"{path}[{index++}]", errors, ref budget);
                }

                break;

            case JsonValueKind.Object:
                foreach (var member in value.EnumerateObject())
                {
                    if (member.Name.Contains('\0'))
                    {
                        Add(Join(path, member.Name), Rules.NoNul, errors, ref budget);
                    }

                    CheckNul(member.Value, Join(path, member.Name), errors, ref budget);
                }

                break;
        }
    }

    private static bool IsNullable(Type type) => !type.IsValueType || Nullable.GetUnderlyingType(type) is not null;

    private static string Join(string path, string name)
    {
        name = name.Replace("\0", "\\0", StringComparison.Ordinal);
        return path.Length == 0 ? name : $"{path}.{name}";
    }

    private static void Add(string path, string rule, ValidationErrors errors, ref int budget)
    {
        if (budget-- > 0)
        {
            errors.Add(path.Length == 0 ? Rules.Body : path, rule);
        }
    }
}
