using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>What became of one attempt to deliver a message.</summary>
internal enum DeliveryOutcome
{
    /// <summary>2xx: the receiver has it.</summary>
    Accepted,

    /// <summary>400 or 422: the receiver will never accept it.</summary>
    Refused,

    /// <summary>500: the receiver is there and failed on this message.</summary>
    Failed,

    /// <summary>Anything else, including no response at all: says nothing about the message.</summary>
    Unavailable,
}

internal sealed record DeliveryResult(DeliveryOutcome Outcome, string Error, TimeSpan? RetryAfter = null);

/// <summary>Delivers messages by <c>POST /messages</c> to their destination.</summary>
internal sealed class HttpDelivery(OutboxRoute route, IHttpClientFactory clients, IOptions<MessagingOptions> options, TimeProvider time)
{
    private const int MaxErrorLength = 2_000;

    public static string ClientName(string destination) => $"outbox-{destination}";

    public async Task<DeliveryResult> SendAsync(StoredMessage message, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.Value.SendTimeout);
        try
        {
            using var client = clients.CreateClient(ClientName(message.Destination));
            using var request = new HttpRequestMessage(HttpMethod.Post, "/messages") { Content = ContentOf(message) };
            using var response = await client.SendAsync(request, deadline.Token);
            return response.StatusCode switch
            {
                >= HttpStatusCode.OK and < HttpStatusCode.MultipleChoices => new(DeliveryOutcome.Accepted, ""),
                HttpStatusCode.BadRequest or HttpStatusCode.UnprocessableEntity => new(DeliveryOutcome.Refused, await DescribeAsync(response, deadline.Token)),
                HttpStatusCode.InternalServerError => new(DeliveryOutcome.Failed, await DescribeAsync(response, deadline.Token)),
                _ => new(DeliveryOutcome.Unavailable, await DescribeAsync(response, deadline.Token), RetryAfterOf(response)),
            };
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new(DeliveryOutcome.Unavailable, $"No answer within {options.Value.SendTimeout.TotalSeconds:0.#} s.");
        }
        // Connection refused or reset, breaker open, concurrency limit reached: none of these is the message's fault.
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            return new(DeliveryOutcome.Unavailable, exception.Message);
        }
    }

    private ByteArrayContent ContentOf(StoredMessage message)
    {
        using var data = JsonDocument.Parse(message.Data);
        var content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(new CloudEvent
        {
            SpecVersion = "1.0",
            Id = message.Id.ToString(),
            Source = route.Source,
            Type = message.Type,
            Subject = message.Subject,
            Time = new(message.CreatedAt, TimeSpan.Zero),
            DataContentType = "application/json",
            PartitionKey = message.PartitionKey,
            Sequence = message.Sequence,
            TraceParent = message.Traceparent,
            CorrelationId = message.CorrelationId,
            Data = data.RootElement,
        }, PlatformJson.Tolerant));
        content.Headers.ContentType = new MediaTypeHeaderValue(CloudEvent.ContentType, "utf-8");
        return content;
    }

    private TimeSpan? RetryAfterOf(HttpResponseMessage response) =>
        response.Headers.RetryAfter is not { } retryAfter ? null : retryAfter.Delta ?? retryAfter.Date - time.GetUtcNow();

    private static async Task<string> DescribeAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var body = await response.Content.ReadAsStringAsync(cancellationToken);
        var text = $"{(int)response.StatusCode} {response.ReasonPhrase}: {body.Replace('\0', ' ')}";
        return text.Length <= MaxErrorLength ? text : text[..MaxErrorLength];
    }
}
