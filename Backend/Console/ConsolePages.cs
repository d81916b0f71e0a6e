using System.Text;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Web;
using Platform.ServiceDefaults;

namespace Platform.Backend.Console;

/// <summary>Adds the security headers to every page of the console.</summary>
internal sealed class ConsolePages : IEndpointMiddleware
{
    public Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        Protect(context.Response);
        return next(context);
    }

    /// <summary>Allows only the console's own style sheet, script files, images and forms; nothing inline.</summary>
    public static void Protect(HttpResponse response)
    {
        var headers = response.Headers;
        headers.ContentSecurityPolicy =
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
        headers.XContentTypeOptions = "nosniff";
        // With "no-referrer" browsers send "Origin: null", and forms are checked by their origin.
        headers["Referrer-Policy"] = "same-origin";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        // Both: the antiforgery service logs a warning for any other value.
        headers.CacheControl = "no-cache, no-store";
    }
}

/// <summary>
/// A page, rendered completely before the first byte is sent, so that a failure while rendering still becomes an error page. It uses none of
/// Blazor's endpoints and scripts.
/// </summary>
internal sealed class PageResult<TPage>(Dictionary<string, object?> parameters, int status = StatusCodes.Status200OK) : IResult where TPage : IComponent
{
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var services = httpContext.RequestServices;
        await using var renderer = new HtmlRenderer(services, services.GetRequiredService<ILoggerFactory>());
        var html = await renderer.Dispatcher.InvokeAsync(async () =>
        {
            var document = await renderer.RenderComponentAsync<Document>(ParameterView.FromDictionary(new Dictionary<string, object?>(StringComparer.Ordinal)
            {
                [nameof(Document.Context)] = httpContext,
                [nameof(Document.Page)] = typeof(TPage),
                [nameof(Document.Parameters)] = parameters,
            }));
            return document.ToHtmlString();
        });

        httpContext.Response.StatusCode = status;
        httpContext.Response.ContentType = "text/html; charset=utf-8";
        await httpContext.Response.WriteAsync(html, Encoding.UTF8, httpContext.RequestAborted);
    }
}
