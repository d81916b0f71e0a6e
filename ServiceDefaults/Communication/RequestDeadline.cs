using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Microsoft.AspNetCore.Http.Timeouts;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Configuration <c>Requests</c>.</summary>
public sealed class RequestOptions
{
    /// <summary>How long a request may take when its caller sets no shorter time; then it is cancelled and answered 504. 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "01:00:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Largest request body in bytes, where an endpoint sets no other limit. 1 MiB.</summary>
    [Range(1024, 1024 * 1024 * 1024)]
    public long MaxBodySize { get; set; } = 1024 * 1024;
}

/// <summary>
/// Cancels a request when its time is up, and answers 504. A caller with the internal token may shorten the time by <c>X-Request-Timeout-Ms</c>.
/// <c>[RequestTimeout]</c>, <c>WithRequestTimeout</c> and <c>DisableRequestTimeout</c> work as in ASP.NET Core.
/// </summary>
internal sealed class RequestDeadlineMiddleware(RequestDelegate next, IOptionsMonitor<RequestOptions> options, TimeProvider time)
{
    // timers are that exact: a call that was given all that was left may end this much before the request's own timer
    private static readonly TimeSpan Tolerance = TimeSpan.FromMilliseconds(20);

    public async Task InvokeAsync(HttpContext context)
    {
        if (TimeoutOf(context) is not { } timeout)
        {
            await next(context);
            return;
        }

        var callerGone = context.RequestAborted;
        using var timer = new CancellationTokenSource(timeout, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(callerGone, timer.Token);
        context.RequestAborted = linked.Token;
        using var deadline = Deadline.Begin(timeout, time);
        try
        {
            await next(context);
        }
        catch (Exception exception) when (!callerGone.IsCancellationRequested && !context.Response.HasStarted
            && (exception is ServiceCallException { Failure: ServiceCallFailure.TimedOut } ? Deadline.Left < Tolerance : timer.IsCancellationRequested && IsCancellation(exception)))
        {
            context.RequestAborted = callerGone;
            context.Response.Clear();
            if (exception is ServiceCallException)
            {
                context.Response.Headers[CommunicationHeaders.ShouldRetry] = "false";
            }

            await Problem.Of(StatusCodes.Status504GatewayTimeout, "The request took longer than it was given.").ExecuteAsync(context);
        }
        finally
        {
            context.RequestAborted = callerGone;
        }
    }

    // a cancelled command may surface as its driver's own exception
    private static bool IsCancellation(Exception exception) =>
        exception is OperationCanceledException or TimeoutException || exception.InnerException is OperationCanceledException;

    private TimeSpan? TimeoutOf(HttpContext context)
    {
        var metadata = context.GetEndpoint()?.Metadata;
        if (metadata?.GetMetadata<DisableRequestTimeoutAttribute>() is not null)
        {
            return null;
        }

        var timeout = metadata?.GetMetadata<RequestTimeoutPolicy>()?.Timeout
            ?? metadata?.GetMetadata<RequestTimeoutAttribute>()?.Timeout
            ?? options.CurrentValue.Timeout;
        return long.TryParse(context.Request.Headers[CommunicationHeaders.RequestTimeout], NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds)
            && milliseconds < timeout.TotalMilliseconds
            && context.IsInternalCaller()
            ? TimeSpan.FromMilliseconds(Math.Max(1, milliseconds))
            : timeout;
    }
}
