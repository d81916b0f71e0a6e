using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.EventEmitters;

namespace Platform.AppHost.Kubernetes;

/// <summary>Writes objects as YAML: the members in the order in which they are written, those that are null left out.</summary>
internal static partial class Manifest
{
    private static readonly ISerializer Serializer = new SerializerBuilder()
        .ConfigureDefaultValuesHandling(DefaultValuesHandling.OmitNull)
        .DisableAliases()
        .WithIndentedSequences()
        .WithNewLine("\n")
        .WithEventEmitter(next => new Scalars(next))
        .Build();

    public static string Yaml(object manifest) => Serializer.Serialize(manifest);

    /// <summary>A text inside of YAML that is not written by the serializer.</summary>
    public static string Scalar(string text) => Yaml(new { text })["text: ".Length..].TrimEnd('\n');

    /// <summary>
    /// Plain is only what every version of YAML takes for a string and nothing else: not <c>9000</c>, <c>on</c>, <c>12:30</c>, <c>~</c> or <c>1e3</c>.
    /// </summary>
    internal static bool IsPlain(string text) => PlainText().IsMatch(text) && !ReservedWord().IsMatch(text);

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
