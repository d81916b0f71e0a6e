using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>
/// Renders a small store at start-up and discards it, because the first use of the template compiler takes several hundred milliseconds, which would delay the
/// first deployment.
/// </summary>
internal sealed partial class WarmUp(TimeProvider time, ILogger<WarmUp> logger) : BackgroundService
{
    private const string Page = """
        <!doctype html><html lang="en"><head><title>{{shop.name}}</title></head><body>{{> header}}
        {{#each products}}<a href="{{url this}}">{{name}}</a>{{else}}-{{/each}}
        {{#if settings.text}}{{multiline settings.text}}{{/if}}{{#unless shop}}-{{/unless}}{{#eq year 1}}-{{/eq}}{{#with shop}}{{slug}}{{/with}}</body></html>
        """;

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.Run(() =>
    {
        try
        {
            var manifest = new TemplateManifest("warm-up", "1.0.0", "Warm-up", "",
                [new("text", TemplateParameterType.Text, "Text")],
                [new(StorePaths.Index, "pages/page.hbs", null), new("{slug}.html", "pages/page.hbs", TemplatePage.Products)]);
            var sources = new Dictionary<string, string> { ["pages/page.hbs"] = Page, ["partials/header.hbs"] = """<a href="{{link "index.html"}}">{{shop.name}}</a>""" };
            var store = new StoreSpec("warm-up", new Uri("http://localhost/stores/warm-up/"), "Warm-up", new Dictionary<string, System.Text.Json.JsonElement>(),
                [new ProductSpec("1", "One", 1, "EUR")]);
            new StoreTemplate(new TemplateBundle(manifest, sources, new Dictionary<string, byte[]>()), new RenderLimits()).Render(store, time, stoppingToken);
        }
        catch (Exception e) when (e is RenderException or TimeoutException or OperationCanceledException)
        {
            LogFailure(logger, e.Message);
        }
    }, stoppingToken);

    [LoggerMessage(LogLevel.Debug, "Could not warm up the template compiler: {Reason}")]
    private static partial void LogFailure(ILogger logger, string reason);
}
