using System.Globalization;
using Microsoft.AspNetCore.Http.Features;
using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// Answers 413 to a body that says itself that it is too large. Left to the server, the connection would be cut while the client still sends, and most clients
/// would never read the answer; this way the server reads on for a few seconds and throws away.
/// </summary>
internal sealed class BodySizeMiddleware(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext context)
    {
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is not { IsReadOnly: false, MaxRequestBodySize: { } limit } size
            || !(context.Request.ContentLength > limit))
        {
            return next(context);
        }

        size.MaxRequestBodySize = null;
        return Problem.TooLarge(string.Create(CultureInfo.InvariantCulture, $"The request's body is too large: at most {limit} bytes are taken here.")).ExecuteAsync(context);
    }
}
