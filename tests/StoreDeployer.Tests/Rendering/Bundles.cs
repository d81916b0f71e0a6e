using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Platform.StoreDeployer.Rendering;
using Platform.Templates;

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
            {"path": "index.html", "template": "pages/index.hbs"},
            {"path": "products/{slug}/index.html", "template": "pages/product.hbs", "forEach": "products"},
            {"path": "404.html", "template": "pages/404.hbs"}
          ]
        }
        """;

    public const string Index = """
        <!doctype html><html lang="en"><head><title>{{shop.name}}</title><link rel="stylesheet" href="{{asset "css/store.css"}}">
        <style>:root { --accent: {{settings.accent}} }</style></head><body>{{> header}}<p>{{settings.tagline}}</p>
        {{#each products}}<a class="product" href="{{url this}}">{{name}} {{priceText}}</a>{{else}}<p>Nothing yet</p>{{/each}}
        <p>{{multiline settings.about}}</p>{{#if settings.banner}}<b>banner</b>{{/if}}{{#eq settings.columns 3}}<i>three</i>{{/eq}}</body></html>
        """;

    public const string Product = """
        <!doctype html><html lang="en"><head><title>{{product.name}}</title><link rel="stylesheet" href="{{asset "css/store.css"}}"></head>
        <body>{{> header}}<h1>{{product.name}}</h1><p>{{multiline product.description}}</p><img src="{{asset "img/logo.png"}}" alt=""></body></html>
        """;

    public const string NotFound = """
        <!doctype html><html lang="en"><head><title>Not here</title><link rel="stylesheet" href="{{asset "css/store.css"}}"></head>
        <body>{{> header}}<h1>Not here</h1></body></html>
        """;

    public const string Header = """<header><a href="{{link "index.html"}}">{{shop.name}}</a></header>""";

    /// <summary>The text entries of a complete, valid template.</summary>
    public static Dictionary<string, string> Entries(string? index = null, string? css = null) => new()
    {
        ["template.json"] = Manifest,
        ["pages/index.hbs"] = index ?? Index,
        ["pages/product.hbs"] = Product,
        ["pages/404.hbs"] = NotFound,
        ["partials/header.hbs"] = Header,
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

    /// <summary>A bundle that bypasses all checks.</summary>
    public static TemplateBundle Unchecked(IReadOnlyDictionary<string, string> entries)
    {
        var issues = new TemplateIssues();
        var manifest = TemplateManifest.Read(Encoding.UTF8.GetBytes(entries["template.json"]), issues);
        issues.Items.ShouldBeEmpty();
        return new(
            manifest!,
            entries.Where(e => e.Key.EndsWith(".hbs", StringComparison.Ordinal)).ToDictionary(),
            entries.Where(e => e.Key.StartsWith("assets/", StringComparison.Ordinal)).ToDictionary(e => e.Key["assets/".Length..], e => Encoding.UTF8.GetBytes(e.Value)));
    }

    public static StoreSpec Store(string name = "Mug shop", object? settings = null, params ProductSpec[] products) => new(
        "mugs", new Uri("http://localhost:9003/stores/mugs/"), name,
        JsonSerializer.SerializeToElement(settings ?? new { }).EnumerateObject().ToDictionary(p => p.Name, p => p.Value),
        products);
}
