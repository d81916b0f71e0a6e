using System.Diagnostics;

namespace Platform.ServiceDefaults.Correlation;

/// <summary>Takes a valid <c>X-Correlation-ID</c> or makes one, and puts it on the answer, the log scope and the span.</summary>
internal sealed class CorrelationMiddleware(RequestDelegate next, ILogger<CorrelationMiddleware> logger)
{
    public async Task InvokeAsync(HttpContext context)
    {
        var presented = context.Request.Headers[CorrelationContext.HeaderName];
        var id = presented.Count == 1 && CorrelationContext.IsValid(presented[0]) ? presented[0]! : CorrelationContext.NewId();

        context.Features.Set(new CorrelationFeature(id));
        // set now for handlers that start the answer, and again at the start because an error handler clears the headers
        context.Response.Headers[CorrelationContext.HeaderName] = id;
        context.Response.OnStarting(static state =>
        {
            var (response, value) = ((HttpResponse, string))state;
            response.Headers[CorrelationContext.HeaderName] = value;
            return Task.CompletedTask;
        }, (context.Response, id));
        Activity.Current?.SetTag("correlation.id", id);

        using (CorrelationContext.Begin(id))
        using (logger.BeginScope(new CorrelationScope(id)))
        {
            await next(context);
        }
    }
}

internal sealed record CorrelationFeature(string Id);

/// <summary>One key-value pair, in the shape that logging providers read.</summary>
internal sealed class CorrelationScope(string id) : IReadOnlyList<KeyValuePair<string, object?>>
{
    public int Count => 1;

    public KeyValuePair<string, object?> this[int index] =>
        index == 0 ? new("CorrelationId", id) : throw new ArgumentOutOfRangeException(nameof(index));

    public IEnumerator<KeyValuePair<string, object?>> GetEnumerator()
    {
        yield return this[0];
    }

    System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();

    public override string ToString() => $"CorrelationId:{id}";
}

/// <summary>The correlation id of a request.</summary>
public static class HttpContextCorrelationExtensions
{
    /// <summary>The id taken from the caller or made for this request.</summary>
    /// <exception cref="InvalidOperationException">The pipeline has no <c>UseServiceDefaults()</c>.</exception>
    public static string GetCorrelationId(this HttpContext context) =>
        context.Features.Get<CorrelationFeature>()?.Id
        ?? throw new InvalidOperationException("No correlation id: call app.UseServiceDefaults() first.");
}
