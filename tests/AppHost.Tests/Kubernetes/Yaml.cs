using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>
/// Reads YAML as strictly as any reader of manifests: an unquoted scalar that any version of YAML takes for a number, time or boolean is read as one, so
/// that it fails where a string is required. Duplicate keys are errors.
/// </summary>
internal static partial class Yaml
{
    public static IReadOnlyList<JsonNode?> Read(string text)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(text));
        return [.. stream.Documents.Select(document => Node(document.RootNode))];
    }

    public static IReadOnlyList<JsonObject> Documents(string text) => [.. Read(text).Select(node => node!.AsObject())];

    public static string Kind(this JsonNode manifest) => (string)manifest["kind"]!;

    public static string Name(this JsonNode manifest) => (string)manifest["metadata"]!["name"]!;

    public static IEnumerable<JsonObject> OfKind(this IEnumerable<JsonObject> manifests, params string[] kinds) => manifests.Where(manifest => kinds.Contains(manifest.Kind()));

    /// <summary>The items of a list that may be absent.</summary>
    public static IEnumerable<JsonNode> Items(this JsonNode? node) => (node as JsonArray ?? []).Select(item => item!);

    private static JsonNode? Node(YamlNode node) => node switch
    {
        YamlMappingNode mapping => new JsonObject(mapping.Children.Select(child => KeyValuePair.Create(((YamlScalarNode)child.Key).Value!, Node(child.Value)))),
        YamlSequenceNode sequence => new JsonArray([.. sequence.Children.Select(Node)]),
        YamlScalarNode { Style: ScalarStyle.Plain } scalar => Plain(scalar.Value!),
        YamlScalarNode scalar => scalar.Value,
        _ => throw new InvalidOperationException($"{node.GetType().Name} at {node.Start} can't be represented in JSON."),
    };

    private static JsonNode? Plain(string text) =>
        text is "" or "~" || string.Equals(text, "null", StringComparison.OrdinalIgnoreCase) ? null
        : Boolean().IsMatch(text) ? string.Equals(text, "true", StringComparison.OrdinalIgnoreCase)
        : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number
        : OtherNumber().IsMatch(text) ? double.NaN
        : text;

    [GeneratedRegex("^(?:y|n|yes|no|on|off|true|false)$", RegexOptions.IgnoreCase)]
    private static partial Regex Boolean();

    // Octal, hexadecimal, with underscores, base 60, infinity, dates and times.
    [GeneratedRegex(@"^[-+]?(?:0x[0-9a-f_]+|0o?[0-7_]+|0b[01_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]+)?|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|\.inf|\.nan|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)$", RegexOptions.IgnoreCase)]
    private static partial Regex OtherNumber();
}
