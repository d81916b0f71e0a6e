using System.Diagnostics.Metrics;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Which requests are admitted first under overload, in ascending order.</summary>
public enum RequestPriority
{
    /// <summary>GET, HEAD, OPTIONS and TRACE, unless their endpoint sets another.</summary>
    Read,

    /// <summary>Every other method, unless its endpoint sets another.</summary>
    Write,

    /// <summary>Starts or cancels work of the platform.</summary>
    Deployment,

    /// <summary>Always admitted, from every client: probes and metrics, which are needed most under overload.</summary>
    Exempt,
}

/// <summary>Endpoint metadata: the priority of its requests.</summary>
public sealed record RequestPriorityMetadata(RequestPriority Priority);

/// <summary>Configures the admission of endpoints.</summary>
public static class AdmissionExtensions
{
    /// <summary>Overrides the priority that follows from the method.</summary>
    public static TBuilder WithPriority<TBuilder>(this TBuilder builder, RequestPriority priority) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new RequestPriorityMetadata(priority));

    /// <summary>Marks endpoints whose response stays open, such as server-sent events: they count against the concurrency limit only until the headers are sent.</summary>
    public static TBuilder WithStreamingResponse<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new StreamingResponse());

    internal static void AddAdmission(this IServiceCollection services)
    {
        services.AddSingleton<ClientRateLimit>();
        services.AddSingleton<PriorityConcurrencyLimiter>();
        services.AddSingleton<AdmissionSignals>();
    }
}

internal sealed class StreamingResponse;

/// <summary>
/// Admits requests or rejects them at once: 429 to a client over its rate (<see cref="ClientRateLimit"/>), 503 without a permit (<see cref="PriorityConcurrencyLimiter"/>), both with
/// <c>Retry-After</c>. Callers with the internal token and <see cref="RequestPriority.Exempt"/> endpoints are always admitted. Runs before the body is read and before the request's
/// deadline starts. ASP.NET Core's rate limiting middleware has no priorities and holds its lease until the request ends, which for a stream may be never.
/// </summary>
internal sealed class AdmissionMiddleware(
    RequestDelegate next, ClientRateLimit rates, PriorityConcurrencyLimiter limiter, AdmissionSignals signals, IOptions<AdmissionOptions> options, IOptionsMonitor<RequestOptions> requests)
{
    private readonly TimeSpan _queueTimeout = options.Value.QueueTimeout;

    public Task InvokeAsync(HttpContext context)
    {
        var priority = PriorityOf(context);
        if (priority == RequestPriority.Exempt || context.IsInternalCaller())
        {
            return next(context);
        }

        if (!rates.TryTake(context, out var retryAfter))
        {
            signals.Refused("rate", priority, context.Request);
            return Problem.TooManyRequests("This client exceeds its request rate. Try again later.", retryAfter).ExecuteAsync(context);
        }

        return EnterAsync(context, priority);
    }

    private async Task EnterAsync(HttpContext context, RequestPriority priority)
    {
        if (!await limiter.EnterAsync(priority, WaitOf(context), context.RequestAborted))
        {
            if (context.RequestAborted.IsCancellationRequested)
            {
                context.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;
                return;
            }

            signals.Refused("concurrency", priority, context.Request);
            await Problem.Unavailable("The service is overloaded. Try again later.", _queueTimeout).ExecuteAsync(context);
            return;
        }

        var permit = new Permit(limiter);
        if (context.GetEndpoint()?.Metadata.GetMetadata<StreamingResponse>() is not null)
        {
            context.Response.OnStarting(static state =>
            {
                ((Permit)state).Leave();
                return Task.CompletedTask;
            }, permit);
        }

        try
        {
            await next(context);
        }
        finally
        {
            permit.Leave();
        }
    }

    private static RequestPriority PriorityOf(HttpContext context)
    {
        var method = context.Request.Method;
        return context.GetEndpoint()?.Metadata.GetMetadata<RequestPriorityMetadata>()?.Priority
            ?? (HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || HttpMethods.IsOptions(method) || HttpMethods.IsTrace(method)
                ? RequestPriority.Read
                : RequestPriority.Write);
    }

    private TimeSpan WaitOf(HttpContext context)
    {
        var timeout = RequestDeadlineMiddleware.ConfiguredTimeoutOf(context, requests.CurrentValue);
        return timeout > TimeSpan.Zero && timeout < _queueTimeout ? timeout.Value : _queueTimeout;
    }

    // A stream's permit is released with its headers and again at the end of the request: only the first counts.
    private sealed class Permit(PriorityConcurrencyLimiter limiter)
    {
        private bool _left;

        public void Leave()
        {
            if (!Interlocked.Exchange(ref _left, true))
            {
                limiter.Leave();
            }
        }
    }
}

/// <summary>Metrics and log of admission. Logs at most one line per second and reason, so that a flood of requests does not flood the log.</summary>
internal sealed partial class AdmissionSignals
{
    private static readonly string[] Priorities = ["read", "write", "deployment"];

    private readonly TimeProvider _time;
    private readonly ILogger<AdmissionSignals> _logger;
    private readonly Counter<long> _rejections;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, (long LoggedAt, int Unlogged)> _logged = new(StringComparer.Ordinal);

    public AdmissionSignals(PriorityConcurrencyLimiter limiter, IMeterFactory meters, TimeProvider time, ILogger<AdmissionSignals> logger)
    {
        (_time, _logger) = (time, logger);
        var meter = meters.CreateMeter("communication");
        _rejections = meter.CreateCounter<long>("platform.communication.admission.rejections", "{request}", "Requests refused, by reason (rate, concurrency) and priority");
        foreach (var reason in (string[])["rate", "concurrency"])
        {
            foreach (var priority in Priorities)
            {
                _rejections.Add(0, new("reason", reason), new("priority", priority));
            }
        }

        meter.CreateObservableUpDownCounter("platform.communication.admission.in_flight", () => limiter.Taken, "{request}", "Requests in flight");
        meter.CreateObservableUpDownCounter("platform.communication.admission.queue", () => limiter.Waiting, "{request}", "Requests waiting for admission");
    }

    public void Refused(string reason, RequestPriority priority, HttpRequest request)
    {
        _rejections.Add(1, new("reason", reason), new("priority", Priorities[(int)priority]));
        int refused;
        lock (_lock)
        {
            var now = _time.GetTimestamp();
            var known = _logged.TryGetValue(reason, out var logged);
            refused = logged.Unlogged + 1;
            if (known && _time.GetElapsedTime(logged.LoggedAt, now) < TimeSpan.FromSeconds(1))
            {
                _logged[reason] = (logged.LoggedAt, refused);
                return;
            }

            _logged[reason] = (now, 0);
        }

        LogRefused(_logger, refused, reason, request.Method, request.Path, priority);
    }

    [LoggerMessage(LogLevel.Warning, "event=resilience Rejected {Count} requests by {Reason} limit since the last such line, most recently {Method} {Path} of priority {Priority}")]
    private static partial void LogRefused(ILogger logger, int count, string reason, string method, string path, RequestPriority priority);
}
