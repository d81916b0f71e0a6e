using System.Diagnostics;

namespace Platform.ServiceDefaults.Correlation;

/// <summary>Takes a valid <c>X-Correlation-ID</c> or creates one, and sets it on the response, the log scope and the span.</summary>
internal sealed class CorrelationMiddleware(RequestDelegate next, ILogger<CorrelationMiddleware> logger)
{
    private static readonly Func<ILogger, string, IDisposable?> Scope = LoggerMessage.DefineScope<string>("CorrelationId:{CorrelationId}");

    public async Task InvokeAsync(HttpContext context)
    {
        var presented = context.Request.Headers[CorrelationContext.HeaderName];
        var id = presented.Count == 1 && CorrelationContext.IsValid(presented[0]) ? presented[0]! : CorrelationContext.NewId();

        // Set now for code that reads it, and again when the response starts, because an error handler clears the headers.
        context.Response.Headers[CorrelationContext.HeaderName] = id;
        context.Response.OnStarting(static state =>
        {
            var (response, value) = ((HttpResponse, string))state;
            response.Headers[CorrelationContext.HeaderName] = value;
            return Task.CompletedTask;
        }, (context.Response, id));
        Activity.Current?.SetTag("correlation.id", id);

        using (CorrelationContext.Begin(id))
        using (Scope(logger, id))
        {
            await next(context);
        }
    }
}
