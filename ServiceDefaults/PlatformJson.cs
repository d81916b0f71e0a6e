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
    public static JsonSerializerOptions Tolerant { get; } = CreateTolerant();

    /// <summary>Configures <paramref name="options"/> for the public API: unknown and duplicate fields are errors, too.</summary>
    public static void ConfigureStrict(JsonSerializerOptions options)
    {
        Configure(options);
        options.UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow;
        options.AllowDuplicateProperties = false;
    }

    private static JsonSerializerOptions CreateTolerant()
    {
        var options = new JsonSerializerOptions(JsonSerializerDefaults.Web);
        Configure(options);
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }

    private static void Configure(JsonSerializerOptions options)
    {
        options.Encoder = JavaScriptEncoder.Create(UnicodeRanges.All);
        options.NumberHandling = JsonNumberHandling.Strict;
        options.PropertyNameCaseInsensitive = false;
        options.RespectNullableAnnotations = true;
        options.RespectRequiredConstructorParameters = true;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.CamelCase, allowIntegerValues: false));
    }
}
