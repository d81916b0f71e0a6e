using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using k8s;
using YamlDotNet.Core;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.EventEmitters;

namespace Platform.AppHost.Kubernetes;

/// <summary>
/// Writes Kubernetes objects, and other objects such as Kustomize's, as YAML. KubernetesClient maps them to JSON. Its own YAML writer isn't used: it leaves
/// strings such as <c>0x1F</c> or <c>1_000</c> unquoted, so that Kubernetes reads them as numbers, and sorts a container's name among its other fields.
/// </summary>
internal static partial class Manifest
{
    private static readonly string[] LeadingFields = ["apiVersion", "kind", "metadata", "name", "image"];

    private static readonly ISerializer Serializer = new SerializerBuilder()
        .DisableAliases()
        .WithIndentedSequences()
        .WithNewLine("\n")
        .WithEventEmitter(next => new Scalars(next))
        .Build();

    /// <summary>Leaves out null fields, and fills in <c>apiVersion</c> and <c>kind</c> of a typed object.</summary>
    public static string Yaml(object manifest)
    {
        (manifest as IKubernetesObject)?.Initialize();
        return Serializer.Serialize(Ordered(JsonNode.Parse(KubernetesJson.Serialize(manifest))!));
    }

    /// <summary>Several objects in one file.</summary>
    public static string Documents(params IKubernetesObject[] manifests) => string.Join("---\n", manifests.Select(Yaml));

    /// <summary>A string as it must be written within YAML text.</summary>
    public static string Scalar(string text) => Yaml(new { text })["text: ".Length..].TrimEnd('\n');

    /// <summary>Indents every line of <paramref name="text"/> that isn't empty.</summary>
    public static string Indented(string text, int spaces) =>
        string.Concat(text.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n').Select(line => (line.Length > 0 ? new string(' ', spaces) + line : "") + "\n"));

    private static object Ordered(JsonNode node) => node switch
    {
        JsonObject fields => new OrderedDictionary<string, object>(fields
            .OrderBy(field => Array.IndexOf(LeadingFields, field.Key) is >= 0 and var index ? index : LeadingFields.Length)
            .Select(field => KeyValuePair.Create(field.Key, Ordered(field.Value!)))),
        JsonArray items => items.Select(item => Ordered(item!)).ToList(),
        _ => node.GetValueKind() switch
        {
            JsonValueKind.String => node.GetValue<string>(),
            JsonValueKind.Number => node.GetValue<long>(),
            _ => node.GetValue<bool>(),
        },
    };

    /// <summary>True for text that every version of YAML reads as a string without quotes: not <c>9000</c>, <c>on</c>, <c>12:30</c>, <c>~</c> or <c>1e3</c>.</summary>
    private static bool IsPlain(string text) => PlainText().IsMatch(text) && !ReservedWord().IsMatch(text);

    [GeneratedRegex(@"^[A-Za-z/$][A-Za-z0-9_./@$()=;%+-]*(?:[: ][A-Za-z0-9_./@$()=;%+-]+)*\z", RegexOptions.NonBacktracking)]
    private static partial Regex PlainText();

    [GeneratedRegex(@"^(?:y|n|yes|no|on|off|true|false|null)\z", RegexOptions.NonBacktracking | RegexOptions.IgnoreCase)]
    private static partial Regex ReservedWord();

    private sealed class Scalars(IEventEmitter next) : ChainedEventEmitter(next)
    {
        public override void Emit(ScalarEventInfo eventInfo, IEmitter emitter)
        {
            if (eventInfo.Source.Value is string text)
            {
                eventInfo.Style = text.Contains('\n', StringComparison.Ordinal) ? ScalarStyle.Literal
                    : IsPlain(text) ? ScalarStyle.Plain
                    : ScalarStyle.DoubleQuoted;
            }

            base.Emit(eventInfo, emitter);
        }
    }
}
