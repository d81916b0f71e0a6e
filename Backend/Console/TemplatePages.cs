using Platform.Backend.Console.Pages;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>The pages of templates.</summary>
internal static class TemplatePages
{
    public static Task<IResult> List(TemplateCatalog catalog, CancellationToken cancellationToken) => ListAsync(catalog, choosing: false, cancellationToken);

    public static Task<IResult> Choose(TemplateCatalog catalog, CancellationToken cancellationToken) => ListAsync(catalog, choosing: true, cancellationToken);

    public static async Task<IResult> Show(string name, string? version, TemplateCatalog catalog, CancellationToken cancellationToken)
    {
        if (await catalog.FindAsync(name, cancellationToken) is not { } template)
            return Problem.NotFound($"There is no template '{name}'.");
        if ((version ?? template.Value.LatestVersion ?? (template.Value.Versions is [var newest, ..] ? newest.Version : null)) is not { } wanted
            || await catalog.FindVersionAsync(name, wanted, cancellationToken) is not { } found)
            return Problem.NotFound($"The template '{name}' has no such version.");

        return new PageResult<TemplateDetailsPage>(new()
        {
            [nameof(TemplateDetailsPage.Template)] = template.Value,
            [nameof(TemplateDetailsPage.Version)] = found.Value,
            [nameof(TemplateDetailsPage.Stale)] = template.Stale || found.Stale,
            [nameof(TemplateDetailsPage.Age)] = template.Age > found.Age ? template.Age : found.Age,
        });
    }

    private static async Task<IResult> ListAsync(TemplateCatalog catalog, bool choosing, CancellationToken cancellationToken)
    {
        var templates = await catalog.ListAsync(cancellationToken);
        return new PageResult<TemplatesPage>(new()
        {
            [nameof(TemplatesPage.Templates)] = choosing ? [.. templates.Value.Where(template => template.LatestVersion is not null)] : templates.Value,
            [nameof(TemplatesPage.Stale)] = templates.Stale,
            [nameof(TemplatesPage.Age)] = templates.Age,
            [nameof(TemplatesPage.Choosing)] = choosing,
        });
    }
}
