using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>
/// Renders a small store at start-up and discards it, because the first use of the template compiler takes several hundred milliseconds, which would delay the
/// first deployment.
/// </summary>
internal sealed partial class WarmUp(TimeProvider time, ILogger<WarmUp> logger) : BackgroundService
{
    private const string Page = """
        <!doctype html><html lang="{{ shop.locale }}"><head><title>{{ shop.name }}</title></head><body>{% render 'header', size: 1 %}
        {% paginate products by 10 %}{% for product in products %}<a href="{{ product.url }}">{{ product.title | upcase }} {{ product.price | money }}</a>{% else %}-{% endfor %}{% endpaginate %}
        {% if settings.text == 'a' and shop %}{{ settings.text | newline_to_br }}{% elsif settings.text %}-{% endif %}{% unless shop %}-{% endunless %}
        {% assign x = 'now' | date: '%Y' %}{% capture y %}{{ x }}{% endcapture %}{{ y }}{% case x %}{% when '1' %}-{% endcase %}
        <script type="application/ld+json">{{ shop.name | json }}</script></body></html>
        """;

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.Run(() =>
    {
        if (!Locales.AreAvailable)
            LogNoLocales(logger);
        try
        {
            var manifest = new TemplateManifest("warm-up", "1.0.0", "Warm-up", "",
                [new("text", TemplateParameterType.Text, "Text")],
                [new(StorePaths.Index, "pages/page.liquid", null)]);
            var sources = new Dictionary<string, string> { ["pages/page.liquid"] = Page, ["partials/header.liquid"] = """<a href="{{ 'index.html' | page_url }}">{{ shop.name }}</a>""" };
            var store = new StoreSpec("warm-up", new Uri("http://localhost/stores/warm-up/"), "Warm-up", new Dictionary<string, System.Text.Json.JsonElement>(),
                [new ProductSpec("1", "One", 1, "EUR")]);
            new StoreTemplate(TemplateBundle.Create(manifest, sources, new Dictionary<string, byte[]>()), new RenderLimits()).Render(store, time, stoppingToken);
        }
        catch (Exception e) when (e is RenderException or TimeoutException or OperationCanceledException)
        {
            LogFailure(logger, e.Message);
        }
    }, stoppingToken);

    [LoggerMessage(LogLevel.Warning, "ICU is not available, so prices and dates of stores of all locales are written as in English")]
    private static partial void LogNoLocales(ILogger logger);

    [LoggerMessage(LogLevel.Debug, "Could not warm up the template compiler: {Reason}")]
    private static partial void LogFailure(ILogger logger, string reason);
}
