using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;
using Platform.Templates;

namespace Platform.TemplateRegistry.Bundles;

/// <summary>Downloads of bundles, which are immutable, by template and version or by digest.</summary>
internal static class BundleEndpoints
{
    public static void MapBundles(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("").WithTags("Bundles").RequireInternalToken().ProducesProblem(400).ProducesProblem(401).ProducesProblem(404).ProducesProblem(503);
        group.MapGet("/templates/{name}/versions/{version}/bundle", GetByVersion).WithName("GetTemplateBundle")
            .Produces<FileContentHttpResult>(200, "application/zip").Produces(304)
            .WithSummary("Downloads the bundle of a version, whatever its status. The ETag is its digest.");
        group.MapGet("/bundles/{digest}", GetByDigest).WithName("GetBundle")
            .Produces<FileContentHttpResult>(200, "application/zip").Produces(304)
            .WithSummary("Downloads a bundle by its digest, sha256:<hex>.");
    }

    private static async Task<IResult> GetByVersion(
        string name, string version, HttpContext context, ReadBundle bundles, CancellationToken cancellationToken) =>
        await bundles.FindDigestAsync(name, version, cancellationToken) is { } digest
            ? await SendAsync(context, digest, $"{name}-{version}.zip", bundles, cancellationToken)
            : Problem.NotFound($"There is no version '{version}' of a template '{name}'.");

    private static async Task<IResult> GetByDigest(string digest, HttpContext context, ReadBundle bundles, CancellationToken cancellationToken)
    {
        if (BundleDigest.Parse(digest) is { } parsed)
            return await SendAsync(context, parsed, null, bundles, cancellationToken);

        var errors = new ValidationErrors();
        errors.Add("digest", "must be sha256: and 64 lower-case hexadecimal digits");
        return errors.ToResult();
    }

    private static async Task<IResult> SendAsync(
        HttpContext context, BundleDigest digest, string? fileName, ReadBundle bundles, CancellationToken cancellationToken)
    {
        if (await bundles.FindContentAsync(digest, cancellationToken) is not { } content)
            return Problem.NotFound($"There is no bundle {digest}.");

        context.Response.GetTypedHeaders().CacheControl = new() { Private = true, MaxAge = TimeSpan.FromDays(365), Extensions = { new NameValueHeaderValue("immutable") } };
        context.Response.Headers.XContentTypeOptions = "nosniff";
        return TypedResults.File(content, "application/zip", fileName, enableRangeProcessing: true, entityTag: new EntityTagHeaderValue($"\"{digest}\""));
    }
}
