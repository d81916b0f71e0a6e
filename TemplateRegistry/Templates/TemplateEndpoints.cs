using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;
using Platform.Templates;

namespace Platform.TemplateRegistry.Templates;

/// <summary><c>/templates</c>, internal to the platform: users read and publish templates through Backend.</summary>
internal static class TemplateEndpoints
{
    private const int MaxSearch = 100;

    public static void AddTemplates(this IHostApplicationBuilder builder)
    {
        builder.Services.AddSingleton<ReadTemplates>();
        builder.Services.AddSingleton<PublishTemplate>();
        builder.Services.AddSingleton<ChangeStatus>();
        builder.Services.AddSingleton<RecordUsage>();
        builder.Services.AddSingleton<Bundles.ReadBundle>();
    }

    public static void MapTemplates(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/templates").WithTags("Templates").RequireInternalToken().ProducesProblem(401).ProducesProblem(503);
        group.MapGet("/", List).WithName("ListTemplates")
            .WithSummary("Lists the templates on offer, by name.")
            .WithDescription("`search` selects templates whose name, title or description contains it.");
        group.MapGet("/{name}", Get).WithName("GetTemplate").ProducesProblem(404)
            .WithSummary("Shows a template and its versions on offer, highest first.");
        group.MapGet("/{name}/versions/{version}", GetVersion).WithName("GetTemplateVersion").ProducesProblem(404)
            .WithSummary("Shows one version of a template, whatever its status, with the parameters that a shop can set.");

        group.MapPut("/{name}/usage", Report).WithName("ReportTemplateUsage").ProducesProblem(404)
            .WithSummary("Records how many shops use a template.");

        var changes = group.MapGroup("/{name}/versions/{version}");
        changes.MapPut("/", Publish).WithName("PublishTemplate").WithMetadata(new RequestSizeLimitAttribute(BundleArchive.MaxBundleSize))
            .Accepts<Stream>("application/zip").ProducesProblem(409).ProducesProblem(413).ProducesProblem(415)
            .WithSummary("Publishes a version of a template: the body is its bundle, a zip of at most 50 MiB.")
            .WithDescription("A version never changes: the same bundle again is a 200, another one a 409. A 400 names each bad entry of the bundle and why.");
        changes.MapPost("/deprecate", Deprecate).WithName("DeprecateTemplate").ProducesProblem(404)
            .WithSummary("Deprecates a version: it stays listed, but is no longer used by default.");
        changes.MapDelete("/", Yank).WithName("YankTemplate").ProducesProblem(404)
            .WithSummary("Yanks a version: it is no longer offered, but can still be deployed by its digest.");
    }

    private static async Task<Results<Ok<Page<Template>>, ValidationProblem>> List(
        [AsParameters] PageQuery page, string? search, ReadTemplates templates, CancellationToken cancellationToken)
    {
        if (!page.TryRead<string>(out var after, out var limit, out var problem))
            return problem;
        if (search is { Length: > MaxSearch })
        {
            var errors = new ValidationErrors();
            errors.Add("search", $"must have at most {MaxSearch} characters");
            return errors.ToResult();
        }

        var rows = await templates.ListAsync(string.IsNullOrWhiteSpace(search) ? null : search.Trim(), after, limit + 1, cancellationToken);
        return TypedResults.Ok(Page.Of(rows, limit, template => template.Name));
    }

    private static async Task<Results<Ok<Template>, ProblemHttpResult>> Get(string name, ReadTemplates templates, CancellationToken cancellationToken) =>
        await templates.FindAsync(name, cancellationToken) is { } template
            ? TypedResults.Ok(template)
            : Problem.NotFound($"There is no template '{name}'.");

    private static async Task<Results<Ok<TemplateVersion>, ProblemHttpResult>> GetVersion(
        string name, string version, ReadTemplates templates, CancellationToken cancellationToken) =>
        await templates.FindVersionAsync(name, version, cancellationToken) is { } found ? TypedResults.Ok(found) : NoVersion(name, version);

    private static async Task<Results<NoContent, ValidationProblem, ProblemHttpResult>> Report(
        string name, TemplateUsage usage, RecordUsage record, CancellationToken cancellationToken)
    {
        if (usage.Shops < 0)
        {
            var errors = new ValidationErrors();
            errors.Add("shops", "must be 0 or more");
            return errors.ToResult();
        }

        return await record.ExecuteAsync(name, usage.Shops, cancellationToken) ? TypedResults.NoContent() : Problem.NotFound($"There is no template '{name}'.");
    }

    private static async Task<Results<Created<TemplateVersion>, Ok<TemplateVersion>, ValidationProblem, ProblemHttpResult>> Publish(
        string name, string version, HttpRequest request, PublishTemplate publish, CancellationToken cancellationToken)
    {
        // The server refuses a body of more than MaxBundleSize, whether it has a Content-Length or is chunked.
        using var zip = new MemoryStream((int)(request.ContentLength ?? 0));
        await request.Body.CopyToAsync(zip, cancellationToken);

        var issues = new TemplateIssues();
        var bundle = BundleReader.Read(zip.ToArray(), issues);
        if (bundle is not null)
        {
            if (bundle.Manifest.Name != name)
                issues.Add(TemplateManifest.Entry, $"name is '{bundle.Manifest.Name}', but the address says '{name}'");
            if (bundle.Manifest.Version != version)
                issues.Add(TemplateManifest.Entry, $"version is '{bundle.Manifest.Version}', but the address says '{version}'");
        }
        if (issues.Any || bundle is null)
            return ToProblem(issues);

        var (outcome, stored) = await publish.ExecuteAsync(bundle, cancellationToken);
        if (bundle.Warnings.Count > 0)
            stored = stored with { Warnings = [.. bundle.Warnings.Select(warning => $"{warning.Entry} {warning}")] };
        return outcome switch
        {
            PublishOutcome.Created => TypedResults.Created($"/templates/{name}/versions/{version}", stored),
            PublishOutcome.AlreadyThere => TypedResults.Ok(stored),
            _ => Problem.Conflict($"Version {version} of '{name}' is published with another bundle ({stored.Digest}), and a version never changes. Publish this one as a new version."),
        };
    }

    private static async Task<Results<Ok<TemplateVersion>, ProblemHttpResult>> Deprecate(
        string name, string version, ChangeStatus changeStatus, CancellationToken cancellationToken) =>
        await changeStatus.ExecuteAsync(name, version, TemplateStatus.Deprecated, cancellationToken) is { } found
            ? TypedResults.Ok(found) : NoVersion(name, version);

    private static async Task<Results<Ok<TemplateVersion>, ProblemHttpResult>> Yank(
        string name, string version, ChangeStatus changeStatus, CancellationToken cancellationToken) =>
        await changeStatus.ExecuteAsync(name, version, TemplateStatus.Yanked, cancellationToken) is { } found
            ? TypedResults.Ok(found) : NoVersion(name, version);

    private static ProblemHttpResult NoVersion(string name, string version) => Problem.NotFound($"There is no version '{version}' of a template '{name}'.");

    private static ValidationProblem ToProblem(TemplateIssues issues)
    {
        var errors = new ValidationErrors();
        foreach (var issue in issues.Items)
            errors.Add(issue.Entry, issue.ToString());
        if (issues.Count > issues.Items.Count)
            errors.Add(BundleArchive.WholeBundle, $"has {issues.Count - issues.Items.Count} more issues that are not listed");
        return errors.ToResult();
    }
}
