using System.Globalization;
using Polly;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// Retries a failed call if the failure is transient, the request is repeatable, there is time left and the destination's <see cref="RetryBudget"/> allows it.
/// Backs off exponentially with full jitter ("Exponential Backoff And Jitter", Brooker 2015).
/// </summary>
internal sealed class RetryStrategy(Destination destination) : ResilienceStrategy<HttpResponseMessage>
{
    /// <summary>No retry starts with less time left than this: it couldn't be answered.</summary>
    private static readonly TimeSpan LeastUsefulTime = TimeSpan.FromMilliseconds(10);

    protected override async ValueTask<Outcome<HttpResponseMessage>> ExecuteCore<TState>(
        Func<ResilienceContext, TState, ValueTask<Outcome<HttpResponseMessage>>> callback, ResilienceContext context, TState state)
    {
        var call = context.Properties.GetValue(ServiceCall.Key, null!);
        while (true)
        {
            call.Attempt++;
            var cutShort = call.Left < destination.Policy.AttemptTimeout;
            var outcome = await callback(context, state).ConfigureAwait(context.ContinueOnCapturedContext);
            var result = SendResult.Of(outcome, cutShort, context.CancellationToken);
            destination.Signals.Attempted(destination.Name, result.Label);
            if (result.Kind is SendKind.Success)
            {
                destination.Budget.Earn();
                return outcome;
            }

            if (result.Kind is not (SendKind.Failure or SendKind.Busy) || context.CancellationToken.IsCancellationRequested || !MayRetry(call, result, outcome, out var delay))
            {
                return outcome;
            }

            outcome.Result?.Dispose();
            destination.Signals.Retrying(destination.Name, result.Label);
            call.Decide("retry", $"send {call.Attempt} failed ({result.Text}); send {call.Attempt + 1} in {ServiceCall.Milliseconds(delay)}, {ServiceCall.Milliseconds(call.Left)} left");
            try
            {
                await Task.Delay(delay, destination.Time, context.CancellationToken).ConfigureAwait(context.ContinueOnCapturedContext);
            }
            catch (OperationCanceledException exception)
            {
                return Outcome.FromException<HttpResponseMessage>(exception);
            }
        }
    }

    private bool MayRetry(ServiceCall call, SendResult result, Outcome<HttpResponseMessage> outcome, out TimeSpan delay)
    {
        var policy = destination.Policy.Retry;
        delay = default;
        if (call.Attempt >= policy.Sends)
        {
            if (policy.Sends > 1)
            {
                call.Decide("retry.exhausted", $"send {call.Attempt} failed ({result.Text}); that was the last");
            }

            return false;
        }

        if (!IsRepeatable(call.Request))
        {
            return false;
        }

        if (!IsReplayable(call.Request.Content) && !result.NeverConnected)
        {
            return Refuse("body", $"send {call.Attempt + 1} refused: the body can't be sent twice");
        }

        delay = RetryAfter(outcome.Result) ?? BackOff(policy, call.Attempt);
        if (delay + LeastUsefulTime > call.Left)
        {
            return Refuse("deadline", $"send {call.Attempt + 1} refused: it would begin in {ServiceCall.Milliseconds(delay)} and {ServiceCall.Milliseconds(call.Left)} are left");
        }

        if (!destination.Budget.TryTake())
        {
            return Refuse("budget", string.Create(CultureInfo.InvariantCulture, $"send {call.Attempt + 1} refused: budget {Math.Floor(destination.Budget.Left)} of {destination.Policy.RetryBudget.MaxSaved}"));
        }

        return true;

        bool Refuse(string by, string explanation)
        {
            destination.Signals.RetryRefused(destination.Name, by);
            call.Decide("retry.refused", explanation);
            return false;
        }
    }

    // Other methods are repeatable only with an idempotency key.
    private static bool IsRepeatable(HttpRequestMessage request) =>
        request.Method.Method is "GET" or "HEAD" or "OPTIONS" or "TRACE" or "PUT" or "DELETE" || request.Headers.Contains("Idempotency-Key");

    // Other content may be a stream that has already been consumed.
    private static bool IsReplayable(HttpContent? content) =>
        content is null or ByteArrayContent or ReadOnlyMemoryContent or System.Net.Http.Json.JsonContent;

    private TimeSpan? RetryAfter(HttpResponseMessage? response) => response?.Headers.RetryAfter switch
    {
        null => null,
        { Delta: { } delta } => delta,
        { Date: { } date } => date - destination.Time.GetUtcNow() is var wait && wait > TimeSpan.Zero ? wait : TimeSpan.Zero,
        _ => null,
    };

    internal static TimeSpan BackOff(RetryOptions policy, int attempt)
    {
        var ceiling = Math.Min(policy.MaxDelay.TotalMilliseconds, policy.Delay.TotalMilliseconds * Math.Pow(2, attempt - 1));
        return TimeSpan.FromMilliseconds(Random.Shared.NextDouble() * ceiling);
    }
}
