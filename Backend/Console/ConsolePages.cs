using System.Text;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Web;
using Platform.ServiceDefaults;

namespace Platform.Backend.Console;

/// <summary>What holds for every page of the console: the headers that keep others' content and frames out of it.</summary>
internal sealed class ConsolePages : IEndpointMiddleware
{
    public Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        Protect(context.Response);
        return next(context);
    }

    /// <summary>Only the console's own style sheet, images and forms; no scripts at all.</summary>
    public static void Protect(HttpResponse response)
    {
        var headers = response.Headers;
        headers.ContentSecurityPolicy =
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
        headers.XContentTypeOptions = "nosniff";
        // forms are told by their origin, which "no-referrer" would hide
        headers["Referrer-Policy"] = "same-origin";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        // both, or the framework warns of every page that has a form
        headers.CacheControl = "no-cache, no-store";
    }
}

/// <summary>
/// A page. It is rendered to the end before its first byte goes out, so that an error in it is still an error page. It needs none of Blazor's own
/// endpoints, and with them no scripts.
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
