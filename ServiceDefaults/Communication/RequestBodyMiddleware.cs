using System.Globalization;
using Microsoft.AspNetCore.Http.Features;
using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Rejects bodies that can't be read here, before anything of them is read: 415 for a compressed one, 413 when Content-Length exceeds the limit.</summary>
internal sealed class RequestBodyMiddleware(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext context)
    {
        var encoding = context.Request.Headers.ContentEncoding;
        if (encoding.Count > 0 && !string.Equals(encoding.ToString(), "identity", StringComparison.OrdinalIgnoreCase)
            && context.GetEndpoint() is RouteEndpoint && context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true)
        {
            // Decompression isn't offered: bodies are small, and size limits, fingerprints and signatures all refer to the bytes as sent.
            context.Response.Headers.AcceptEncoding = "identity";
            return Problem.UnsupportedMediaType("Send the request's body without compression: no Content-Encoding is supported here.").ExecuteAsync(context);
        }

        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is not { IsReadOnly: false, MaxRequestBodySize: { } limit } size
            || !(context.Request.ContentLength > limit))
        {
            return next(context);
        }

        // Lifting the server's limit makes it read and discard the rest for a few seconds. It would otherwise reset the connection, and most clients would miss the 413.
        size.MaxRequestBodySize = null;
        return Problem.TooLarge(string.Create(CultureInfo.InvariantCulture, $"The request's body is too large: the limit here is {limit} bytes.")).ExecuteAsync(context);
    }
}
