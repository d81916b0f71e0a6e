using Microsoft.AspNetCore.Http.Features;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults;

/// <summary>
/// Answers HEAD wherever GET is mapped, and OPTIONS on every known path. Endpoints map GET only: routing treats HEAD as GET, everything after routing sees HEAD
/// again, and the server discards the body. OPTIONS implies no CORS.
/// </summary>
internal static class HeadAndOptions
{
    /// <summary>Runs before routing.</summary>
    public static Task RouteHeadAsGetAsync(HttpContext context, RequestDelegate next)
    {
        if (HttpMethods.IsHead(context.Request.Method))
        {
            context.Features.Set(new HeadRequest());
            context.Request.Method = HttpMethods.Get;
        }

        return next(context);
    }

    /// <summary>Runs after routing.</summary>
    public static async Task AnswerAsync(HttpContext context, RequestDelegate next)
    {
        var isHead = context.Features.Get<HeadRequest>() is not null;
        if (isHead)
        {
            context.Request.Method = HttpMethods.Head;
        }

        await (isHead && context.GetEndpoint()?.Metadata.GetMetadata<StreamingResponse>() is not null ? RunUntilHeadersAsync(context, next) : next(context));
        var response = context.Response;
        if (response is { StatusCode: StatusCodes.Status405MethodNotAllowed, HasStarted: false, Headers.Allow.Count: > 0 })
        {
            var mapped = response.Headers.Allow.ToString();
            var allowed = mapped.Split(", ").Append(HttpMethods.Options);
            allowed = mapped.Contains(HttpMethods.Get, StringComparison.Ordinal) ? allowed.Append(HttpMethods.Head) : allowed;
            response.Headers.Allow = string.Join(", ", allowed.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal));
            response.StatusCode = HttpMethods.IsOptions(context.Request.Method) ? StatusCodes.Status204NoContent : response.StatusCode;
        }
    }

    // A stream has no end of its own, so the handler is cancelled at its first flush.
    private static async Task RunUntilHeadersAsync(HttpContext context, RequestDelegate next)
    {
        var body = context.Features.GetRequiredFeature<IHttpResponseBodyFeature>();
        using var started = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        context.RequestAborted = started.Token;
        context.Response.Body = new HeadersOnly(body, started);
        try
        {
            await next(context);
        }
        catch (OperationCanceledException) when (context.Response.HasStarted)
        {
            // Ended by the cancellation above.
        }
        finally
        {
            context.Response.Body = body.Stream;
        }
    }

    // Starts the response without the handler's token: a flush that is cancelled makes Kestrel reset the connection.
    private sealed class HeadersOnly(IHttpResponseBodyFeature body, CancellationTokenSource started) : MemoryStream
    {
        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => new(FlushAsync(cancellationToken));

        public override async Task FlushAsync(CancellationToken cancellationToken)
        {
            await body.StartAsync(CancellationToken.None);
            await started.CancelAsync();
        }
    }

    private sealed class HeadRequest;
}
