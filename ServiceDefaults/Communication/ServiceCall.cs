using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Security.Claims;
using Polly;

namespace Platform.ServiceDefaults.Communication;

/// <summary>One call to a destination, from its first attempt to the end of the response, with the decisions taken on the way.</summary>
internal sealed class ServiceCall(Destination destination, HttpRequestMessage request, TimeSpan total, Activity? activity)
{
    public static readonly ResiliencePropertyKey<ServiceCall> Key = new("platform.service-call");

    private readonly long _began = destination.Time.GetTimestamp();
    private List<string>? _decisions;

    public Destination Destination { get; } = destination;

    public HttpRequestMessage Request { get; } = request;

    public DateTimeOffset StartedAt { get; } = destination.Time.GetUtcNow();

    /// <summary>On whose behalf it is made. Read at the start, because a call that nobody awaits may outlive the request.</summary>
    public ClaimsPrincipal? User { get; } = destination.Calls.CurrentUser;

    /// <summary>The number of the current attempt, from 1.</summary>
    public int Attempt { get; set; }

    /// <summary>Whether anything was sent, as opposed to refused here.</summary>
    public bool WasSent { get; set; }

    /// <summary>The breaker's last permission, kept because a body that breaks off later counts as a failure too.</summary>
    public CircuitPass Pass { get; set; }

    public TimeSpan Elapsed => Destination.Time.GetElapsedTime(_began);

    public TimeSpan Left => total - Elapsed is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero;

    /// <summary>Timeout of the next attempt: the policy's, but at most what is left of the call.</summary>
    public TimeSpan AttemptTimeout => Destination.Policy.AttemptTimeout is var attempt && attempt < Left ? attempt : Left;

    public bool HasDecisions => _decisions is not null;

    public IReadOnlyList<string> Decisions => _decisions ?? [];

    /// <summary>Records a decision for <c>/api/status/calls</c> and as an event on the call's span.</summary>
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

/// <summary>How an attempt ended, as retries and breakers see it.</summary>
internal readonly record struct SendResult(SendKind Kind, string Text, bool NeverConnected = false)
{
    /// <summary>For metrics: of low cardinality, whereas <see cref="Text"/> may be an exception's message.</summary>
    public string Label
    {
        get => field ?? Text;
        init;
    }

    /// <summary>Classifies an outcome. <paramref name="cutShort"/>: the caller's deadline ended the attempt before the policy's timeout would have.</summary>
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
                // The service itself is healthy; its own downstream call failed and was already retried there.
                _ when CommunicationHeaders.SaysNoRetry(response) => new(SendKind.FailedFurtherDown, text),
                429 => new(SendKind.Busy, text),
                503 when response.Headers.RetryAfter is not null => new(SendKind.Busy, text),
                _ => new(SendKind.Failure, text),
            };
        }

        return outcome.Exception switch
        {
            Polly.Timeout.TimeoutRejectedException => new(cutShort ? SendKind.CutShort : SendKind.Failure, "timed out"),
            // SocketsHttpHandler reports its ConnectTimeout as a cancellation that nobody requested.
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
            // SocketsHttpHandler doesn't wrap it when a connection is reset while it is being established.
            SocketException failure => new(SendKind.Failure, failure.Message, NeverConnected: true) { Label = failure.SocketErrorCode.ToString() },
            _ => new(SendKind.CutShort, outcome.Exception?.GetType().Name ?? "nothing"),
        };
    }
}

internal enum SendKind
{
    /// <summary>A response that isn't the service's failure, including 4xx.</summary>
    Success,

    /// <summary>The service failed: retried if allowed, and counted by the breaker.</summary>
    Failure,

    /// <summary>The service said when to retry: retried, not counted.</summary>
    Busy,

    /// <summary>The service failed because a dependency of its own did: neither retried nor counted.</summary>
    FailedFurtherDown,

    /// <summary>The caller gave up or ran out of time: says nothing about the service.</summary>
    CutShort,
}
