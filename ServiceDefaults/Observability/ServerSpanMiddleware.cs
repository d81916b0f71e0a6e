using System.Diagnostics;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http.Features;

namespace Platform.ServiceDefaults.Observability;

/// <summary>
/// Gives the server's span the tags and the name of the OpenTelemetry HTTP conventions, which ASP.NET Core leaves to an instrumentation package.
/// Probes are not traced: they would be most of what is stored.
/// </summary>
internal sealed class ServerSpanMiddleware(RequestDelegate next)
{
    private static readonly HashSet<string> KnownMethods =
        new(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"], StringComparer.Ordinal);

    public async Task InvokeAsync(HttpContext context)
    {
        var activity = context.Features.Get<IHttpActivityFeature>()?.Activity;
        if (activity is null)
        {
            await next(context);
            return;
        }

        if (DefaultEndpoints.IsProbe(context.Request.Path))
        {
            activity.IsAllDataRequested = false;
            activity.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
            await next(context);
            return;
        }

        if (!activity.IsAllDataRequested)
        {
            await next(context);
            return;
        }

        var request = context.Request;
        var method = KnownMethods.Contains(request.Method) ? request.Method : "_OTHER";
        activity.SetTag("http.request.method", method);
        if (method == "_OTHER")
        {
            activity.SetTag("http.request.method_original", request.Method);
        }

        activity.SetTag("url.scheme", request.Scheme);
        activity.SetTag("url.path", (request.PathBase + request.Path).Value);
        activity.SetTag("server.address", request.Host.Host);
        if (request.Host.Port is { } port)
        {
            activity.SetTag("server.port", port);
        }

        activity.SetTag("network.protocol.version", HttpProtocol.IsHttp2(request.Protocol) ? "2" : HttpProtocol.IsHttp11(request.Protocol) ? "1.1" : request.Protocol);
        if (request.Headers.UserAgent is { Count: > 0 } agent)
        {
            activity.SetTag("user_agent.original", agent.ToString());
        }

        // a query may hold what people typed, so it is left out; the route name goes on at once so that a span that never ends well still has it
        activity.DisplayName = method == "_OTHER" ? "HTTP" : method;
        try
        {
            await next(context);
        }
        finally
        {
            End(context, activity, method == "_OTHER" ? "HTTP" : method);
        }
    }

    private static void End(HttpContext context, Activity activity, string method)
    {
        // an error handler runs the pipeline again and clears the endpoint, but remembers it
        var failure = context.Features.Get<IExceptionHandlerFeature>();
        var endpoint = context.GetEndpoint() ?? failure?.Endpoint;
        if (((endpoint as RouteEndpoint)?.RoutePattern.RawText ?? endpoint?.Metadata.GetMetadata<Microsoft.AspNetCore.Http.Metadata.IRouteDiagnosticsMetadata>()?.Route) is { } route)
        {
            route = route.StartsWith('/') ? route : "/" + route;
            activity.SetTag("http.route", route);
            activity.DisplayName = $"{method} {route}";
        }

        var status = context.Response.StatusCode;
        activity.SetTag("http.response.status_code", status);
        if (status >= 500)
        {
            activity.SetTag("error.type", failure?.Error.GetType().FullName ?? status.ToString(System.Globalization.CultureInfo.InvariantCulture));
            activity.SetStatus(ActivityStatusCode.Error);
        }
    }
}
