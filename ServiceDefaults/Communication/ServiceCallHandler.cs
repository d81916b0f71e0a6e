using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Claims;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Observability;
using Polly;
using Polly.RateLimiting;
using Polly.Timeout;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// The outermost handler of a service client. Sets the deadline of the whole call, records its outcome, and extends the deadline to the body, which is read after all handlers
/// have returned.
/// </summary>
internal sealed class ServiceCallHandler(Destination destination, Uri service) : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        // Checked before service discovery replaces the address.
        if (request.RequestUri is not { } uri || uri.Scheme != service.Scheme || !string.Equals(uri.Authority, service.Authority, StringComparison.OrdinalIgnoreCase))
        {
            throw new InvalidOperationException($"This client only calls {service}. It must not send its token to {request.RequestUri}.");
        }

        var policy = destination.Policy;
        var total = request.Method.Method is "GET" or "HEAD" or "OPTIONS" or "TRACE" ? policy.ReadTimeout : policy.WriteTimeout;
        if (Deadline.Left is { } left && left < total)
        {
            total = left;
        }

        using var activity = PlatformTelemetry.Source.StartActivity($"call {destination.Name}");
        activity?.SetTag("peer.service", destination.Name);
        var call = new ServiceCall(destination, request, total, activity);
        var context = ResilienceContextPool.Shared.Get(cancellationToken);
        context.Properties.Set(ServiceCall.Key, call);
        request.SetResilienceContext(context);
        var outcome = "cancelled";
        try
        {
            if (total <= TimeSpan.Zero)
            {
                throw new TimeoutRejectedException("The caller's deadline has passed.");
            }

            var response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
            outcome = ((int)response.StatusCode).ToString(System.Globalization.CultureInfo.InvariantCulture);
            // A refusal has no body, and refusing must stay cheap: during an outage it is what most calls get.
            if (call.WasSent)
            {
                response.Content = await DeadlineStream.WrapAsync(response.Content, call, cancellationToken).ConfigureAwait(false);
            }

            return response;
        }
        catch (TimeoutRejectedException exception)
        {
            outcome = "timed out";
            destination.Signals.DeadlineExpired(destination.Name, "headers");
            call.Decide("deadline", $"no answer after {ServiceCall.Milliseconds(call.Elapsed)}");
            throw new ServiceCallException(destination.Name, ServiceCallFailure.TimedOut, $"{destination.Name} did not answer in time.", exception);
        }
        catch (RateLimiterRejectedException exception)
        {
            outcome = "busy";
            destination.Signals.Rejected(destination.Name, "concurrency");
            call.Decide("concurrency.refused", $"refused: {policy.Concurrency.Limit} calls are under way and {policy.Concurrency.Queue} wait");
            throw new ServiceCallException(destination.Name, ServiceCallFailure.Busy, $"Too many calls to {destination.Name} are under way.", exception);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or SocketException
            || exception is OperationCanceledException && !cancellationToken.IsCancellationRequested)
        {
            outcome = "unreachable";
            throw new ServiceCallException(destination.Name, ServiceCallFailure.Unreachable, $"{destination.Name} can't be reached: {exception.Message}", exception);
        }
        finally
        {
            request.SetResilienceContext(null);
            ResilienceContextPool.Shared.Return(context);
            End(call, activity, outcome);
        }
    }

    private void End(ServiceCall call, Activity? activity, string outcome)
    {
        destination.Signals.Ended(destination.Name, outcome, call.Elapsed);
        if (call.WasSent && outcome != "cancelled")
        {
            destination.Latency.Add(call.Elapsed);
        }

        activity?.SetTag("platform.communication.outcome", outcome).SetTag("platform.communication.attempts", call.Attempt);
        if (outcome[0] is '2' or '3' && !call.HasDecisions)
        {
            return;
        }

        if (outcome[0] is not ('2' or '3' or '4'))
        {
            activity?.SetStatus(ActivityStatusCode.Error, outcome);
        }

        destination.Calls.Add(new(
            call.StartedAt, destination.Name, $"{call.Request.Method} {(call.Request.RequestUri is { IsAbsoluteUri: true } uri ? uri.AbsolutePath : "/")}", outcome,
            call.Elapsed.TotalMilliseconds, call.Decisions, activity?.TraceId.ToHexString(), CorrelationContext.Current, call.User?.FindFirstValue(ClaimTypes.NameIdentifier)));
    }
}
