using System.IO.Compression;
using System.Text;
using System.Text.Json.Nodes;
using Platform.Templates;

namespace Platform.TemplateRegistry.Tests.Bundles;

/// <summary>A small valid bundle, which tests change to be invalid in one respect.</summary>
internal sealed class TestBundle
{
    private readonly List<(string Path, byte[] Content, int Attributes)> _files = [];

    public TestBundle(string name = "tiny", string version = "1.0.0")
    {
        Manifest = JsonNode.Parse($$"""
            {
              "name": "{{name}}", "version": "{{version}}", "title": "Tiny", "description": "A template for tests.",
              "parameters": [
                { "name": "tagline", "type": "text", "label": "Tagline", "default": "Hello", "maxLength": 50 },
                { "name": "accent", "type": "color", "label": "Accent", "default": "#123456" },
                { "name": "site", "type": "url", "label": "Site" },
                { "name": "columns", "type": "number", "label": "Columns", "default": 3, "min": 1, "max": 4, "step": 1 },
                { "name": "prices", "type": "boolean", "label": "Prices", "default": true },
                { "name": "mood", "type": "choice", "label": "Mood", "default": "calm",
                  "choices": [{ "value": "calm", "label": "Calm" }, { "value": "loud", "label": "Loud" }] }
              ],
              "pages": [
                { "path": "index.html", "template": "pages/index.liquid" },
                { "path": "products/{slug}/index.html", "template": "pages/product.liquid", "forEach": "products" },
                { "path": "404.html", "template": "pages/404.liquid" }
              ]
            }
            """)!.AsObject();
        With("pages/index.liquid", "<!doctype html><title>{{ shop.name }}</title>{% render 'card' %}");
        With("pages/product.liquid", "<h1>{{ product.title }}</h1>");
        With("pages/404.liquid", "<p>Not here. <a href=\"{{ 'index.html' | page_url }}\">Home</a></p>");
        With("partials/card.liquid", "{% for product in products %}<a href=\"{{ product.url }}\">{{ product.title }}</a>{% endfor %}");
        With("assets/css/store.css", "body { color: black }");
    }

    public JsonObject Manifest { get; }

    /// <summary>Whether the zip is stored without compression, so that no entry exceeds the ratio.</summary>
    public bool Stored { get; init; }

    public TestBundle With(string path, string content, int attributes = 0) => With(path, Encoding.UTF8.GetBytes(content), attributes);

    /// <summary>Adds or replaces a file.</summary>
    public TestBundle With(string path, byte[] content, int attributes = 0)
    {
        Without(path);
        return WithOneMore(path, content, attributes);
    }

    public TestBundle Without(string path)
    {
        _files.RemoveAll(f => f.Path == path);
        return this;
    }

    /// <summary>Adds a file even if there is one with the same path.</summary>
    public TestBundle WithOneMore(string path, byte[] content, int attributes = 0)
    {
        _files.Add((path, content, attributes));
        return this;
    }

    public TestBundle WithIndex(string source) => With("pages/index.liquid", source);

    public byte[] Zip(bool manifest = true)
    {
        var files = manifest && _files.TrueForAll(f => f.Path != "template.json")
            ? _files.Prepend(("template.json", Encoding.UTF8.GetBytes(Manifest.ToJsonString()), 0))
            : _files;
        using var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (path, content, attributes) in files)
            {
                var entry = archive.CreateEntry(path, Stored ? CompressionLevel.NoCompression : CompressionLevel.Optimal);
                entry.LastWriteTime = new DateTimeOffset(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);
                entry.ExternalAttributes = attributes;
                using var target = entry.Open();
                target.Write(content);
            }
        }
        return stream.ToArray();
    }

    /// <summary>The reader's issues with this bundle: <c>entry: reason</c>, one per line.</summary>
    public string Issues() => IssuesOf(Zip());

    public static string IssuesOf(byte[] zip)
    {
        var issues = new TemplateIssues();
        var bundle = BundleReader.Read(zip, issues);
        (bundle is null).ShouldBe(issues.Any);
        return string.Join("\n", issues.Items.Select(i => $"{i.Entry}: {i}"));
    }
}
