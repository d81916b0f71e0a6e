using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Polly;

namespace Platform.ServiceDefaults.Communication;

/// <summary>One call to a destination, from its first send to the end of its answer, and what was decided on the way.</summary>
internal sealed class ServiceCall(Destination destination, HttpRequestMessage request, TimeSpan total, Activity? activity)
{
    public static readonly ResiliencePropertyKey<ServiceCall> Key = new("platform.service-call");

    private readonly long _began = destination.Time.GetTimestamp();
    private List<string>? _decisions;

    public Destination Destination { get; } = destination;

    public HttpRequestMessage Request { get; } = request;

    public DateTimeOffset StartedAt { get; } = destination.Time.GetUtcNow();

    /// <summary>Which send this is, from 1.</summary>
    public int Attempt { get; set; }

    /// <summary>Whether anything went on its way, and was not refused here.</summary>
    public bool WasSent { get; set; }

    /// <summary>The last permission of the breaker: a body that breaks off later counts too.</summary>
    public CircuitPass Pass { get; set; }

    public TimeSpan Elapsed => Destination.Time.GetElapsedTime(_began);

    public TimeSpan Left => total - Elapsed is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero;

    /// <summary>The time of the next send: the policy's, or what is left of the call.</summary>
    public TimeSpan AttemptTimeout => Destination.Policy.AttemptTimeout is var attempt && attempt < Left ? attempt : Left;

    public bool HasDecisions => _decisions is not null;

    public IReadOnlyList<string> Decisions => _decisions ?? [];

    /// <summary>Notes a decision for <c>/api/status/calls</c> and as an event on the call's span.</summary>
    public void Decide(string name, string explanation)
    {
        (_decisions ??= []).Add(explanation);
        activity?.AddEvent(new ActivityEvent(name, Destination.Time.GetUtcNow(), new ActivityTagsCollection
        {
            ["explanation"] = explanation,
            ["attempt"] = Attempt,
            ["deadline.left_ms"] = (long)Left.TotalMilliseconds,
            ["breaker.state"] = Destination.Breaker.State.ToText(),
            ["retry_budget.left"] = Destination.Budget.Left,
        }));
    }

    public static string Milliseconds(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0} ms");
}

/// <summary>How a send ended, for those who decide over retries and breakers.</summary>
internal readonly record struct SendResult(SendKind Kind, string Text, bool NeverConnected = false)
{
    /// <summary>For metrics: one of few, where <see cref="Text"/> may be what an exception says.</summary>
    public string Label
    {
        get => field ?? Text;
        init;
    }

    /// <summary>Reads an outcome. <paramref name="cutShort"/>: the caller's time ended the send before the policy's would have.</summary>
    public static SendResult Of(Outcome<HttpResponseMessage> outcome, bool cutShort, CancellationToken cancellationToken)
    {
        if (outcome.Result is { } response)
        {
            var status = (int)response.StatusCode;
            var text = status.ToString(CultureInfo.InvariantCulture);
            return status switch
            {
                < 500 and not (408 or 429) => new(SendKind.Success, text),
                501 or 505 => new(SendKind.Success, text),
                // the service in the middle is well, what it depends on isn't, and the retrying was done there
                _ when CommunicationHeaders.SaysNoRetry(response) => new(SendKind.FailedFurtherDown, text),
                429 => new(SendKind.Busy, text),
                503 when response.Headers.RetryAfter is not null => new(SendKind.Busy, text),
                _ => new(SendKind.Failure, text),
            };
        }

        return outcome.Exception switch
        {
            Polly.Timeout.TimeoutRejectedException => new(cutShort ? SendKind.CutShort : SendKind.Failure, "timed out"),
            // the connection time-out of SocketsHttpHandler comes as a cancellation that nobody asked for
            OperationCanceledException { InnerException: TimeoutException } when !cancellationToken.IsCancellationRequested =>
                new(SendKind.Failure, "connection timed out", NeverConnected: true),
            OperationCanceledException => new(SendKind.CutShort, "cancelled"),
            HttpRequestException failure => new(
                SendKind.Failure,
                failure.HttpRequestError is HttpRequestError.Unknown ? failure.Message : failure.HttpRequestError.ToString(),
                failure.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError)
            {
                Label = failure.HttpRequestError.ToString(),
            },
            IOException failure => new(SendKind.Failure, failure.Message) { Label = nameof(IOException) },
            // SocketsHttpHandler lets it out as it is when a connection is reset in the moment it is made
            SocketException failure => new(SendKind.Failure, failure.Message, NeverConnected: true) { Label = failure.SocketErrorCode.ToString() },
            _ => new(SendKind.CutShort, outcome.Exception?.GetType().Name ?? "nothing"),
        };
    }
}

internal enum SendKind
{
    /// <summary>An answer that isn't the service's fault, 4xx included.</summary>
    Success,

    /// <summary>The service failed: retried if it may be, and counted by the breaker.</summary>
    Failure,

    /// <summary>The service said when to come again: retried, not counted.</summary>
    Busy,

    /// <summary>The service failed because something behind it did: neither retried nor counted.</summary>
    FailedFurtherDown,

    /// <summary>The caller gave up or had no more time: says nothing about the service.</summary>
    CutShort,
}
