using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Unicode;

namespace Platform.ServiceDefaults;

/// <summary>The platform's JSON: camelCase, enums as camelCase strings, no nulls, and no escaping except of characters special in HTML.</summary>
public static class PlatformJson
{
    /// <summary>
    /// For data from other services: messages, responses, stored documents. Ignores unknown fields, so that newer senders may add some. A missing <c>required</c> member and a
    /// forbidden null are errors.
    /// </summary>
    public static JsonSerializerOptions Tolerant { get; } = Create(strict: false);

    /// <summary>Configures <paramref name="options"/> for the public API: unknown and duplicate fields are errors, too.</summary>
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
