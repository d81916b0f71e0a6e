using System.Text.Json;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>
/// Checks manifests against schema.json, which schema.mjs generates from the type declarations of Kubernetes and the Prometheus operator. The strict mode
/// of KubernetesYaml finds less: it accepts missing fields, and numbers and strings for each other.
/// </summary>
internal static class Schema
{
    private static readonly JsonObject All = JsonNode.Parse(File.ReadAllText(Path.Combine(RepositoryRoot.Path, "tests/AppHost.Tests/Kubernetes/schema.json")))!.AsObject();

    /// <summary>Unknown fields, fields of the wrong type, and missing fields.</summary>
    public static IReadOnlyList<string> Errors(JsonObject manifest)
    {
        var kind = $"{manifest["apiVersion"]}/{manifest["kind"]}";
        if (All["kinds"]![kind] is not { } type)
            return [$"{kind} is unknown"];
        var errors = new List<string>();
        Check(manifest, type, $"{manifest["kind"]} {manifest["metadata"]?["name"]}", errors);
        if (manifest["metadata"]?["name"] is null)
            errors.Add($"{kind} has no name");
        return errors;
    }

    private static void Check(JsonNode? value, JsonNode type, string path, List<string> errors)
    {
        switch (type)
        {
            case JsonArray list:
                if (value is not JsonArray items)
                    errors.Add($"{path} must be a list");
                else
                    for (var i = 0; i < items.Count; i++)
                        Check(items[i], list[0]!, $"{path}[{i}]", errors);
                break;
            case JsonObject fields:
                CheckFields(value, fields, path, errors);
                break;
            case var name when All["types"]![(string)name!] is JsonObject fields:
                CheckFields(value, fields, path, errors);
                break;
            default:
                var kind = value?.GetValueKind();
                var isRight = (string)type! switch
                {
                    "string" => kind is JsonValueKind.String,
                    "number" => kind is JsonValueKind.Number,
                    "boolean" => kind is JsonValueKind.True or JsonValueKind.False,
                    "string or number" => kind is JsonValueKind.String or JsonValueKind.Number,
                    "any" => true,
                    var unknown => throw new InvalidOperationException($"schema.json has no type '{unknown}'."),
                };
                if (!isRight)
                    errors.Add($"{path} must be a {type}");
                break;
        }
    }

    private static void CheckFields(JsonNode? value, JsonObject fields, string path, List<string> errors)
    {
        if (value is not JsonObject given)
        {
            errors.Add($"{path} must be an object");
            return;
        }

        var any = fields[""];
        foreach (var (name, field) in given)
        {
            if ((any ?? fields[name] ?? fields[$"{name}!"]) is { } type)
                Check(field, type, $"{path}.{name}", errors);
            else
                errors.Add($"{path}.{name} does not exist");
        }

        foreach (var (name, _) in fields)
        {
            if (name.EndsWith('!') && !given.ContainsKey(name[..^1]))
                errors.Add($"{path}.{name[..^1]} is missing");
        }
    }
}
