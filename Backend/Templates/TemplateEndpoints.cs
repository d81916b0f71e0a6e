using System.Globalization;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Templates;

/// <summary><c>/api/templates</c>.</summary>
internal static class TemplateEndpoints
{
    private const int MaxSearch = 100;

    public static void AddTemplates(this IHostApplicationBuilder builder)
    {
        builder.AddServiceClient<TemplateRegistryClient>("template-registry");
        builder.Services.AddOptions<TemplateOptions>().BindConfiguration("Templates").ValidateDataAnnotations().ValidateOnStart();
        builder.Services.AddSingleton<TemplateAnswers>();
        builder.Services.AddScoped<TemplateCatalog>();
        builder.Services.AddScoped<PublishTemplate>();
        builder.Services.AddScoped<ReportTemplateUsage>();
        builder.Services.AddFallback(TemplateCatalog.Fallback).AddFallback(PublishTemplate.Fallback).AddFallback(ReportTemplateUsage.Fallback);
        builder.Services.AddHostedService<RefreshTemplates>();
    }

    public static void MapTemplates(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/templates").WithTags("Templates").RequireScope(Scopes.Read);
        group.MapGet("/", List).WithName("ListTemplates")
            .WithSummary("Lists the available templates, by name.")
            .WithDescription("`search` selects templates whose name, title or description contains it. While the registry is unavailable: its last answer, with `stale: true` and an `Age` header.");
        group.MapGet("/{name}", Get).WithName("GetTemplate").ProducesProblem(404)
            .WithSummary("Shows a template and its versions, newest first.");
        group.MapGet("/{name}/versions/{version}", GetVersion).WithName("GetTemplateVersion").ProducesProblem(404)
            .WithSummary("Shows one version of a template, with the parameters that a shop can set.");
        group.MapPut("/{name}/versions/{version}", Publish).WithName("PublishTemplate").RequireScope(Scopes.Admin).WithMetadata(new RequestSizeLimitAttribute(PublishTemplate.MaxBundleSize))
            .Accepts<Stream>("application/zip").ProducesProblem(400).ProducesProblem(409)
            .WithSummary("Publishes a version of a template: the body is its bundle, a zip of at most 50 MiB.")
            .WithDescription("A version never changes: the same bundle again is a 200, another one a 409. A 400 names each bad entry of the bundle and why.");
    }

    private static async Task<Results<Ok<TemplatePage>, ValidationProblem>> List(
        [AsParameters] PageQuery page, string? search, TemplateCatalog catalog, HttpResponse response, CancellationToken cancellationToken)
    {
        if (!page.TryRead<string>(out var after, out var limit, out var problem))
            return problem;
        if (search is { Length: > MaxSearch })
            return new ValidationErrors().Add("search", string.Create(CultureInfo.InvariantCulture, $"must have at most {MaxSearch} characters")).ToResult();

        // Searched and paged here instead of in the registry, so that both work while the registry is unavailable.
        var templates = WithAge(response, await catalog.ListAsync(cancellationToken));
        var rows = templates.Value
            .Where(template => after is null || string.CompareOrdinal(template.Name, after) > 0)
            .Where(template => Matches(template, search?.Trim()))
            .Take(limit + 1).ToList();
        var (items, nextCursor) = Page.Of(rows, limit, template => template.Name);
        return TypedResults.Ok(new TemplatePage(items, nextCursor, templates.Stale));
    }

    private static async Task<Results<Ok<Template>, ProblemHttpResult>> Get(
        string name, TemplateCatalog catalog, HttpResponse response, CancellationToken cancellationToken) =>
        await catalog.FindAsync(name, cancellationToken) is { } answer
            ? TypedResults.Ok(WithAge(response, answer).Value with { Stale = answer.Stale })
            : Problem.NotFound($"There is no template '{name}'.");

    private static async Task<Results<Ok<TemplateVersion>, ProblemHttpResult>> GetVersion(
        string name, string version, TemplateCatalog catalog, HttpResponse response, CancellationToken cancellationToken) =>
        await catalog.FindVersionAsync(name, version, cancellationToken) is { } answer
            ? TypedResults.Ok(WithAge(response, answer).Value with { Stale = answer.Stale })
            : Problem.NotFound($"There is no version '{version}' of a template '{name}'.");

    private static Task<Results<Created<TemplateVersion>, Ok<TemplateVersion>, ProblemHttpResult>> Publish(
        string name, string version, HttpRequest request, PublishTemplate publish, CancellationToken cancellationToken) =>
        publish.ExecuteAsync(name, version, request.Body, request.ContentType, request.ContentLength, cancellationToken);

    private static bool Matches(Template template, string? search) =>
        string.IsNullOrEmpty(search)
        || template.Name.Contains(search, StringComparison.OrdinalIgnoreCase)
        || template.Title.Contains(search, StringComparison.OrdinalIgnoreCase)
        || template.Description?.Contains(search, StringComparison.OrdinalIgnoreCase) == true;

    private static Answer<T> WithAge<T>(HttpResponse response, Answer<T> answer)
    {
        if (answer.Stale)
            response.Headers.Age = ((long)answer.Age.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        return answer;
    }
}
