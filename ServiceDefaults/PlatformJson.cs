using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Unicode;

namespace Platform.ServiceDefaults;

/// <summary>How the platform writes JSON: camelCase, enums as camelCase strings, no nulls, and text left readable except for what HTML would misread.</summary>
public static class PlatformJson
{
    /// <summary>
    /// For what other services send: messages, answers, stored documents. Unknown fields are ignored, so that a newer sender
    /// may add some; a missing <c>required</c> member or a null where none is allowed is still an error.
    /// </summary>
    public static JsonSerializerOptions Tolerant { get; } = Create(strict: false);

    /// <summary>Makes <paramref name="options"/> those of the public API: in addition, unknown and repeated fields are errors.</summary>
    public static void ConfigureStrict(JsonSerializerOptions options) => Configure(options, strict: true);

    private static JsonSerializerOptions Create(bool strict)
    {
        var options = new JsonSerializerOptions(JsonSerializerDefaults.Web);
        Configure(options, strict);
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }

    private static void Configure(JsonSerializerOptions options, bool strict)
    {
        options.Encoder = JavaScriptEncoder.Create(UnicodeRanges.All);
        options.NumberHandling = JsonNumberHandling.Strict;
        options.PropertyNameCaseInsensitive = false;
        options.RespectNullableAnnotations = true;
        options.RespectRequiredConstructorParameters = true;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.CamelCase, allowIntegerValues: false));
        if (strict)
        {
            options.UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow;
            options.AllowDuplicateProperties = false;
        }
    }
}
