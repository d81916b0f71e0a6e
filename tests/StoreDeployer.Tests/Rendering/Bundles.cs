using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Tests.Rendering;

/// <summary>Makes template bundles.</summary>
internal static class Bundles
{
    public const string Manifest = """
        {
          "name": "plain", "version": "1.0.0", "title": "Plain", "description": "For tests.",
          "parameters": [
            {"name": "tagline", "type": "text", "label": "Tagline", "default": "Hello"},
            {"name": "accent", "type": "color", "label": "Accent", "default": "#0f766e"},
            {"name": "columns", "type": "number", "label": "Columns", "default": 3, "min": 1, "max": 6},
            {"name": "banner", "type": "boolean", "label": "Banner"},
            {"name": "about", "type": "multiline", "label": "About"}
          ],
          "pages": [
            {"path": "index.html", "template": "pages/index.liquid"},
            {"path": "products/{slug}/index.html", "template": "pages/product.liquid", "forEach": "products"},
            {"path": "404.html", "template": "pages/404.liquid"}
          ]
        }
        """;

    public const string Index = """
        <!doctype html><html lang="{{ shop.locale }}"><head><title>{{ shop.name }}</title><link rel="stylesheet" href="{{ 'css/store.css' | asset_url }}">
        <style>:root { --accent: {{ settings.accent }} }</style></head><body>{% render 'header' %}<p>{{ settings.tagline }}</p>
        {% for product in products %}<a class="product" href="{{ product.url }}">{{ product.title }} {{ product.price | money }}</a>{% else %}<p>Nothing yet</p>{% endfor %}
        <p>{{ settings.about | newline_to_br }}</p>{% if settings.banner %}<b>banner</b>{% endif %}{% if settings.columns == 3 %}<i>three</i>{% endif %}</body></html>
        """;

    public const string Product = """
        <!doctype html><html lang="{{ shop.locale }}"><head><title>{{ product.title }}</title><link rel="stylesheet" href="{{ 'css/store.css' | asset_url }}"></head>
        <body>{% render 'header' %}<h1>{{ product.title }}</h1><p>{{ product.description | newline_to_br }}</p><img src="{{ 'img/logo.png' | asset_url }}" alt=""></body></html>
        """;

    public const string NotFound = """
        <!doctype html><html lang="{{ shop.locale }}"><head><title>Not here</title><link rel="stylesheet" href="{{ 'css/store.css' | asset_url }}"></head>
        <body>{% render 'header' %}<h1>Not here</h1></body></html>
        """;

    public const string Header = """<header><a href="{{ 'index.html' | page_url }}">{{ shop.name }}</a></header>""";

    /// <summary>The text entries of a complete, valid template.</summary>
    public static Dictionary<string, string> Entries(string? index = null, string? css = null) => new()
    {
        ["template.json"] = Manifest,
        ["pages/index.liquid"] = index ?? Index,
        ["pages/product.liquid"] = Product,
        ["pages/404.liquid"] = NotFound,
        ["partials/header.liquid"] = Header,
        ["assets/css/store.css"] = css ?? "header { background: url(../img/logo.png) }",
        ["assets/img/logo.png"] = "not really a picture",
    };

    public static byte[] Zip(IReadOnlyDictionary<string, string> entries)
    {
        using var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (path, text) in entries)
            {
                var entry = archive.CreateEntry(path);
                // A fixed time, so that the same entries always give the same bundle.
                entry.LastWriteTime = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
                using var content = entry.Open();
                content.Write(Encoding.UTF8.GetBytes(text));
            }
        }

        return stream.ToArray();
    }

    public static StoreSpec Store(string name = "Mug shop", object? settings = null, params ProductSpec[] products) => new(
        "mugs", new Uri("http://localhost:9003/stores/mugs/"), name,
        JsonSerializer.SerializeToElement(settings ?? new { }).EnumerateObject().ToDictionary(p => p.Name, p => p.Value),
        products);
}
