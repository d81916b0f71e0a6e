using System.Text.Json;
using System.Text.Json.Serialization;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>A message on the wire: CloudEvents 1.0, structured JSON, with extensions for ordering, tracing and correlation. Not the CloudNative.CloudEvents type: that one's formatter
/// allocates eight times as much, and fails on the first invalid attribute instead of naming all.</summary>
internal sealed record CloudEvent
{
    public const string ContentType = "application/cloudevents+json";

    [JsonPropertyName("specversion")]
    public required string SpecVersion { get; init; }

    public required string Id { get; init; }

    public required string Source { get; init; }

    public required string Type { get; init; }

    public string? Subject { get; init; }

    public DateTimeOffset? Time { get; init; }

    [JsonPropertyName("datacontenttype")]
    public string? DataContentType { get; init; }

    [JsonPropertyName("partitionkey")]
    public required Guid PartitionKey { get; init; }

    /// <summary>A string on the wire, because CloudEvents integers have 32 bits.</summary>
    [JsonNumberHandling(JsonNumberHandling.AllowReadingFromString | JsonNumberHandling.WriteAsString)]
    public required long Sequence { get; init; }

    [JsonPropertyName("traceparent")]
    public string? TraceParent { get; init; }

    [JsonPropertyName("correlationid")]
    public string? CorrelationId { get; init; }

    public JsonElement Data { get; init; }
}
