using System.Net;
using System.Net.Http.Headers;
using Polly;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// Asks the destination's breaker before each attempt. A refused call gets a 503 response with <c>Retry-After</c> and <c>X-Should-Retry: false</c> instead of an
/// exception: during an outage most calls are refused, and throwing costs tens of microseconds each.
/// </summary>
internal sealed class CircuitBreakerStrategy(Destination destination) : ResilienceStrategy<HttpResponseMessage>
{
    protected override async ValueTask<Outcome<HttpResponseMessage>> ExecuteCore<TState>(
        Func<ResilienceContext, TState, ValueTask<Outcome<HttpResponseMessage>>> callback, ResilienceContext context, TState state)
    {
        var call = context.Properties.GetValue(ServiceCall.Key, null!);
        if (!destination.Breaker.TryPass(out var pass, out var retryAfter))
        {
            destination.Signals.Rejected(destination.Name, "breaker");
            call.Decide("breaker.refused", "refused: the circuit breaker is open");
            return Outcome.FromResult(Refusal(call.Request, retryAfter));
        }

        call.Pass = pass;
        var cutShort = call.Left < destination.Policy.AttemptTimeout;
        var outcome = await callback(context, state).ConfigureAwait(context.ContinueOnCapturedContext);
        var result = SendResult.Of(outcome, cutShort, context.CancellationToken);
        switch (result.Kind)
        {
            case SendKind.Success or SendKind.FailedFurtherDown:
                pass.Succeeded();
                break;
            case SendKind.Failure:
                pass.Failed(result.Text, result.NeverConnected);
                break;
            default:
                pass.Inconclusive();
                break;
        }

        return outcome;
    }

    private static HttpResponseMessage Refusal(HttpRequestMessage request, TimeSpan retryAfter)
    {
        var response = new HttpResponseMessage(HttpStatusCode.ServiceUnavailable) { RequestMessage = request, ReasonPhrase = "Circuit breaker open" };
        response.Headers.RetryAfter = new RetryConditionHeaderValue(TimeSpan.FromSeconds(Math.Max(1, Math.Ceiling(retryAfter.TotalSeconds))));
        response.Headers.TryAddWithoutValidation(CommunicationHeaders.ShouldRetry, "false");
        return response;
    }
}
