using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Microsoft.AspNetCore.Http.Timeouts;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Configuration <c>Requests</c>.</summary>
public sealed class RequestOptions
{
    /// <summary>Time limit of a request whose caller sets no shorter one. It is then cancelled and answered 504. 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "01:00:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Largest request body in bytes, unless the endpoint sets another limit. 1 MiB.</summary>
    [Range(1024, 1024 * 1024 * 1024)]
    public long MaxBodySize { get; set; } = 1024 * 1024;
}

/// <summary>
/// Cancels a request at its deadline and answers 504. A caller with the internal token may shorten the time by <c>X-Request-Timeout-Ms</c>.
/// <c>[RequestTimeout]</c>, <c>WithRequestTimeout</c> and <c>DisableRequestTimeout</c> work as in ASP.NET Core, whose own middleware knows neither callers' deadlines nor
/// <see cref="Deadline"/>, which passes what is left on to every call made for the request.
/// </summary>
internal sealed class RequestDeadlineMiddleware(RequestDelegate next, IOptionsMonitor<RequestOptions> options, TimeProvider time)
{
    // Timer precision: a call that was given all the time left may time out this much before the request does.
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

            await Problem.Of(StatusCodes.Status504GatewayTimeout, "The request exceeded its time limit.").ExecuteAsync(context);
        }
        finally
        {
            context.RequestAborted = callerGone;
        }
    }

    // A cancelled database command may surface as the driver's own exception.
    private static bool IsCancellation(Exception exception) =>
        exception is OperationCanceledException or TimeoutException || exception.InnerException is OperationCanceledException;

    /// <summary>The time limit that applies to the endpoint; null for none.</summary>
    public static TimeSpan? ConfiguredTimeoutOf(HttpContext context, RequestOptions options) => context.GetEndpoint()?.Metadata is var metadata
        && metadata?.GetMetadata<DisableRequestTimeoutAttribute>() is not null ? null
        : metadata?.GetMetadata<RequestTimeoutPolicy>()?.Timeout ?? metadata?.GetMetadata<RequestTimeoutAttribute>()?.Timeout ?? options.Timeout;

    private TimeSpan? TimeoutOf(HttpContext context)
    {
        var timeout = ConfiguredTimeoutOf(context, options.CurrentValue);
        return timeout is not null && long.TryParse(context.Request.Headers[CommunicationHeaders.RequestTimeout], NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds)
            && milliseconds < timeout.Value.TotalMilliseconds
            && context.IsInternalCaller()
            ? TimeSpan.FromMilliseconds(Math.Max(1, milliseconds))
            : timeout;
    }
}
