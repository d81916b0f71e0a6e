using System.Security.Cryptography;
using Scalar.AspNetCore;

namespace Platform.Backend.Console;

/// <summary>The page at <c>/api/docs</c> that shows the API from <c>/openapi/v1.json</c>. Everything it loads is part of this assembly, so it works offline.</summary>
internal static class ApiDocs
{
    public static void MapApiDocs(this IEndpointRouteBuilder routes) => routes.MapScalarApiReference("/api/docs", (options, context) =>
    {
        options.Title = "Platform API";
        options.OpenApiRoutePattern = "/openapi/{documentName}.json";
        options.AddDocument("v1");
        // Each of these would load from, link to or report to Scalar's servers.
        options.DefaultFonts = false;
        options.Telemetry = false;
        options.HideClientButton = true;
        options.Agent = new() { Disabled = true };
        options.Mcp = new() { Disabled = true };
        options.ShowDeveloperTools = DeveloperToolsVisibility.Never;
        options.Nonce = Convert.ToHexString(RandomNumberGenerator.GetBytes(16));

        var headers = context.Response.Headers;
        // Styles are added by script. 'self' in connect-src is for the description and for requests sent from the page.
        headers.ContentSecurityPolicy = $"default-src 'none'; script-src 'self' 'nonce-{options.Nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
            "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "same-origin";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
    }).AllowAnonymous().ExcludeFromDescription();
}
