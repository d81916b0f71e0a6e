using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;
using Platform.ServiceDefaults.Health;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Stores;

/// <summary>Serves the live stores.</summary>
internal static class StoreEndpoints
{
    // Scripts, fonts and style sheets must be the template's own files. Only images may come from other hosts, because merchants choose their addresses. Inline
    // styles are allowed, inline scripts are not: templates write settings into styles, and the registry and the renderer check that these are only colours and numbers.
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' http: https: data:; font-src 'self'; connect-src 'self'; " +
        "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

    private const string Html = "text/html; charset=utf-8";

    public static void MapStores(this IEndpointRouteBuilder routes)
    {
        // Available before the database has answered for the first time, because the disk cache can serve stores without it.
        var stores = routes.MapGroup("/stores").WithTags("Stores").AvailableBeforeReady().AddEndpointFilter(AddSecurityHeaders);
        stores.MapGet("/{slug}/{**path}", GetStoreFile)
            .WithName("GetStoreFile").WithSummary("A page or asset of a live store")
            .Produces(StatusCodes.Status200OK, contentType: Html).Produces(StatusCodes.Status304NotModified)
            .Produces(StatusCodes.Status404NotFound, contentType: Html).Produces(StatusCodes.Status410Gone, contentType: Html)
            .ProducesProblem(StatusCodes.Status503ServiceUnavailable);
    }

    private static async Task<Results<FileContentHttpResult, Utf8ContentHttpResult, RedirectHttpResult>> GetStoreFile(
        string slug, string? path, HttpContext context, StoreDirectory directory, StoreFiles files, StoreRequests requests, CancellationToken cancellationToken)
    {
        var store = await directory.FindAsync(slug, cancellationToken);
        if (store is not null)
            requests.Note(store);
        try
        {
            return await ServeAsync(store, path, context, files, cancellationToken);
        }
        catch (FileNotFoundException)
        {
            // The store's copy in memory is outdated and the files of that release have been deleted.
            return await ServeAsync(await directory.RefreshAsync(slug, changedAt: null, cancellationToken), path, context, files, cancellationToken);
        }
    }

    // Uses the given store for the whole response, so that it never mixes two releases.
    private static async Task<Results<FileContentHttpResult, Utf8ContentHttpResult, RedirectHttpResult>> ServeAsync(
        Store? store, string? path, HttpContext context, StoreFiles files, CancellationToken cancellationToken)
    {
        if (store?.Release is null)
        {
            return store is { TakenDown: true }
                ? Message(StatusCodes.Status410Gone, "This store has closed", "The shop that was here is gone.")
                : Message(StatusCodes.Status404NotFound, "There is no store here", "Check the address, or come back later: it may not have opened yet.");
        }

        path ??= "";
        if (path.Length == 0 && !context.Request.Path.Value!.EndsWith('/'))
            return RedirectToFolder(context);
        var name = path.Length == 0 || path.EndsWith('/') ? path + StorePaths.Index : path;
        if (store.Find(name) is { } file)
        {
            var content = await files.GetAsync(file.Digest, cancellationToken);
            context.Response.Headers.CacheControl = ReleaseFile.IsAsset(name)
                ? "public, max-age=31536000, immutable"
                : "no-cache";
            return TypedResults.Bytes(content, file.ContentType, entityTag: new EntityTagHeaderValue($"\"{file.Digest}\""));
        }

        if (store.Find($"{path}/{StorePaths.Index}") is not null)
            return RedirectToFolder(context);
        context.Response.Headers.CacheControl = "no-cache";
        return store.Find(StorePaths.NotFound) is { } notFound
            ? TypedResults.Text((await files.GetAsync(notFound.Digest, cancellationToken)).AsSpan(), notFound.ContentType, StatusCodes.Status404NotFound)
            : Message(StatusCodes.Status404NotFound, "Page not found", "The store has no such page.");
    }

    private static RedirectHttpResult RedirectToFolder(HttpContext context) =>
        TypedResults.LocalRedirect((context.Request.PathBase + context.Request.Path).ToUriComponent() + "/" + context.Request.QueryString, permanent: true);

    private static Utf8ContentHttpResult Message(int status, string title, string text) => TypedResults.Text(
        Encoding.UTF8.GetBytes($$"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{{title}}</title>
            <style>
            body { margin: 0; min-height: 100vh; display: grid; place-content: center; padding: 1.5rem; text-align: center;
              font: 1rem/1.6 system-ui, sans-serif; color: #1f2933; background: #f7f7f5 }
            h1 { font-size: 1.6rem; margin: 0 0 .5rem }
            p { margin: 0; color: #52606d }
            @media (prefers-color-scheme: dark) { body { color: #f5f7fa; background: #16191d } p { color: #aeb8c2 } }
            </style>
            </head>
            <body><main><h1>{{title}}</h1><p>{{text}}</p></main></body>
            </html>
            """).AsSpan(), Html, status);

    private static ValueTask<object?> AddSecurityHeaders(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var headers = context.HttpContext.Response.Headers;
        headers.ContentSecurityPolicy = ContentSecurityPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "strict-origin-when-cross-origin";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()";
        headers.XFrameOptions = "DENY";
        return next(context);
    }
}
