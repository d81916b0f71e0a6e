using System.Diagnostics;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http.Features;
using OpenTelemetry;
using Platform.ServiceDefaults.Correlation;

namespace Platform.ServiceDefaults.Observability;

/// <summary>
/// Continues the trace of an authenticated caller, and links to the trace of any other. The server's span starts before authentication, in a trace of its own. For an
/// authenticated caller a span with the caller's as parent replaces it.
/// </summary>
internal sealed class CallerTraceMiddleware(RequestDelegate next, DiagnosticListener diagnostics, IAuthenticationSchemeProvider? schemes = null)
{
    private static readonly DistributedContextPropagator W3C = DistributedContextPropagator.CreateW3CPropagator();

    public Task InvokeAsync(HttpContext context) =>
        // a caller with the internal token is the remote parent already
        context.Features.Get<IHttpActivityFeature>() is { Activity.HasRemoteParent: false } feature
        && context.Request.Headers.TraceParent.Count == 1
        && !DefaultEndpoints.IsProbe(context.Request.Path)
        && TryReadCaller(context.Request.Headers, out var caller)
            ? HandleAsync(context, feature, caller)
            : next(context);

    private async Task HandleAsync(HttpContext context, IHttpActivityFeature feature, ActivityContext caller)
    {
        var started = feature.Activity;
        if (!await IsAuthenticatedAsync(context) || started.Source.CreateActivity(started.OperationName, started.Kind, caller) is not { } span)
        {
            // Without the trace state: a stranger may have put anything into it.
            started.AddLink(new(new(caller.TraceId, caller.SpanId, caller.TraceFlags, isRemote: true)));
            await next(context);
            return;
        }

        foreach (var decision in started.Events)
        {
            span.AddEvent(decision);
        }

        started.IsAllDataRequested = false;
        started.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
        span.SetStartTime(started.StartTimeUtc);
        span.SetTag("correlation.id", CorrelationContext.Current);
        feature.Activity = span;
        // As the host does it: the instrumentation sets the tags and the name on these two events.
        diagnostics.StartActivity(span, context);
        try
        {
            await next(context);
        }
        finally
        {
            diagnostics.StopActivity(span, context);
            feature.Activity = started;
        }
    }

    private async Task<bool> IsAuthenticatedAsync(HttpContext context)
    {
        // Endpoints that are open to anyone, or to services only, must not wait for a key to be verified.
        if (schemes is null || context.GetEndpoint()?.Metadata.GetMetadata<IAllowAnonymous>() is not null || await schemes.GetDefaultAuthenticateSchemeAsync() is not { } scheme)
        {
            return false;
        }

        // What this calls would be a child of the span that may be replaced.
        using var untraced = SuppressInstrumentationScope.Begin();
        try
        {
            return (await context.AuthenticateAsync(scheme.Name)).Succeeded;
        }
        catch (Exception)
        {
            // The authentication middleware meets the same failure, because handlers keep their result for the request, and the exception handler answers it.
            return false;
        }
    }

    private static bool TryReadCaller(IHeaderDictionary headers, out ActivityContext caller)
    {
        W3C.ExtractTraceIdAndState(
            headers,
            static (object? carrier, string name, out string? value, out IEnumerable<string>? values) => (value, values) = (((IHeaderDictionary)carrier!)[name], null),
            out var parent,
            out var state);
        return ActivityContext.TryParse(parent, state, isRemote: true, out caller);
    }
}
