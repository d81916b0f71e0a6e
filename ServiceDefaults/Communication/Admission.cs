using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Http.Timeouts;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Who gets in first when it is tight, the least important first.</summary>
public enum RequestPriority
{
    /// <summary>What changes nothing: GET, HEAD, OPTIONS and TRACE, unless their endpoint says otherwise.</summary>
    Read,

    /// <summary>Every other method, unless its endpoint says otherwise.</summary>
    Write,

    /// <summary>What accepts work of the platform, or takes it back.</summary>
    Deployment,

    /// <summary>Always let in, from every client: probes and metrics, which tell most when it is tight.</summary>
    Exempt,
}

/// <summary>Endpoint metadata: the priority of its requests.</summary>
public sealed class RequestPriorityMetadata(RequestPriority priority)
{
    /// <summary>The priority.</summary>
    public RequestPriority Priority { get; } = priority;
}

/// <summary>Says how endpoints are let in.</summary>
public static class AdmissionExtensions
{
    /// <summary>Gives requests a priority other than that of their method.</summary>
    public static TBuilder WithPriority<TBuilder>(this TBuilder builder, RequestPriority priority) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new RequestPriorityMetadata(priority));

    /// <summary>For streams that stay open, such as server-sent events: a request gives its place back when its answer's headers go out.</summary>
    public static TBuilder WithPlaceUntilHeaders<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(PlaceUntilHeaders.Instance);

    internal static void AddAdmission(this IServiceCollection services)
    {
        services.AddSingleton<ClientRateLimit>();
        services.AddSingleton<Places>();
        services.AddSingleton<AdmissionSignals>();
    }
}

internal sealed class PlaceUntilHeaders
{
    public static readonly PlaceUntilHeaders Instance = new();
}

/// <summary>
/// Lets requests in, or refuses them at once: 429 to a client over its rate (<see cref="ClientRateLimit"/>), 503 when there is no place (<see cref="Places"/>), both with
/// <c>Retry-After</c>. Callers with the internal token and <see cref="RequestPriority.Exempt"/> endpoints are always let in. The body is not read before, and the request's
/// time does not run yet. ASP.NET Core's own rate limiting middleware keeps its lease until the end of the request, which for a stream may be never.
/// </summary>
internal sealed class AdmissionMiddleware(
    RequestDelegate next, ClientRateLimit rates, Places places, AdmissionSignals signals, IOptions<AdmissionOptions> options, IOptionsMonitor<RequestOptions> requests)
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
            return Problem.TooManyRequests("This client sends more requests than it may. Try again later.", retryAfter).ExecuteAsync(context);
        }

        return EnterAsync(context, priority);
    }

    private async Task EnterAsync(HttpContext context, RequestPriority priority)
    {
        if (!await places.EnterAsync(priority, WaitOf(context), context.RequestAborted))
        {
            if (context.RequestAborted.IsCancellationRequested)
            {
                context.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;
                return;
            }

            signals.Refused("concurrency", priority, context.Request);
            await Problem.Unavailable("The service has as much to do as it can. Try again later.", _queueTimeout).ExecuteAsync(context);
            return;
        }

        var place = new Place(places);
        if (context.GetEndpoint()?.Metadata.GetMetadata<PlaceUntilHeaders>() is not null)
        {
            context.Response.OnStarting(static state =>
            {
                ((Place)state).Leave();
                return Task.CompletedTask;
            }, place);
        }

        try
        {
            await next(context);
        }
        finally
        {
            place.Leave();
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
        var metadata = context.GetEndpoint()?.Metadata;
        if (metadata?.GetMetadata<DisableRequestTimeoutAttribute>() is not null)
        {
            return _queueTimeout;
        }

        var timeout = metadata?.GetMetadata<RequestTimeoutPolicy>()?.Timeout
            ?? metadata?.GetMetadata<RequestTimeoutAttribute>()?.Timeout
            ?? requests.CurrentValue.Timeout;
        return timeout > TimeSpan.Zero && timeout < _queueTimeout ? timeout : _queueTimeout;
    }

    // a stream leaves at its headers, and any request at its end
    private sealed class Place(Places places)
    {
        private bool _left;

        public void Leave()
        {
            if (!Interlocked.Exchange(ref _left, true))
            {
                places.Leave();
            }
        }
    }
}

/// <summary>The metrics of admission, and its log lines: a flood of requests must not become a flood of lines.</summary>
internal sealed partial class AdmissionSignals
{
    private readonly TimeProvider _time;
    private readonly ILogger<AdmissionSignals> _logger;
    private readonly Counter<long> _rejections;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, (long LoggedAt, int Unlogged)> _logged = new(StringComparer.Ordinal);

    public AdmissionSignals(Places places, IMeterFactory meters, TimeProvider time, ILogger<AdmissionSignals> logger)
    {
        (_time, _logger) = (time, logger);
        var meter = meters.CreateMeter("communication");
        _rejections = meter.CreateCounter<long>("platform.communication.admission.rejections", "{request}", "Requests refused, by reason (rate, concurrency) and priority");
        foreach (var reason in (string[])["rate", "concurrency"])
        {
            foreach (var priority in (string[])["read", "write", "deployment"])
            {
                _rejections.Add(0, new("reason", reason), new("priority", priority));
            }
        }

        meter.CreateObservableUpDownCounter("platform.communication.admission.in_flight", () => places.Taken, "{request}", "Requests that hold a place");
        meter.CreateObservableUpDownCounter("platform.communication.admission.queue", () => places.Waiting, "{request}", "Requests that wait for a place");
    }

    public void Refused(string reason, RequestPriority priority, HttpRequest request)
    {
        _rejections.Add(1, new("reason", reason), new("priority", priority switch
        {
            RequestPriority.Read => "read",
            RequestPriority.Write => "write",
            _ => "deployment",
        }));
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

    [LoggerMessage(LogLevel.Warning, "event=resilience {Count} requests were refused for their {Reason} since the last such line; this one is {Method} {Path}, priority {Priority}")]
    private static partial void LogRefused(ILogger logger, int count, string reason, string method, string path, RequestPriority priority);
}
