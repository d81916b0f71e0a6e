using System.Globalization;
using System.IO.Compression;
using System.Text;

namespace Platform.Benchmarks.Deployments;

/// <summary>
/// A template with a page that shows the shop's name, a 404 page, and as many assets as needed for a store of <paramref name="Files"/> files. The page and the style
/// sheet contain the version, so that mixtures of releases can be detected.
/// </summary>
internal sealed record BenchmarkTemplate(string Name, string Version, int Files)
{
    private const int AssetSize = 4_000;

    public byte[] Bundle()
    {
        using var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            Add("template.json", $$"""
                {
                  "name": "{{Name}}", "version": "{{Version}}", "title": "Benchmark", "description": "For benchmarks.", "parameters": [],
                  "pages": [{"path": "index.html", "template": "pages/index.liquid"}, {"path": "404.html", "template": "pages/404.liquid"}]
                }
                """);
            Add("pages/index.liquid", $$$"""<!doctype html><html lang="en"><head><title>{{ shop.name }}</title><link rel="stylesheet" href="{{ 'css/store.css' | asset_url }}"></head><body data-version="{{{Version}}}"><h1>{{ shop.name }}</h1></body></html>""");
            Add("assets/css/store.css", $"/* version {Version} */");
            Add("pages/404.liquid", $"""<!doctype html><html lang="en"><head><title>Not here</title></head><body><h1>Not here, in version {Version}</h1></body></html>""");
            for (var n = 3; n < Files; n++)
            {
                var random = new Random(n);
                var text = string.Concat(Enumerable.Range(0, AssetSize / 8).Select(_ => random.Next().ToString("x8", CultureInfo.InvariantCulture)));
                Add($"assets/img/{n}.svg", $"""<svg xmlns="http://www.w3.org/2000/svg"><title>{text}</title></svg>""");
            }

            void Add(string path, string content)
            {
                using var entry = archive.CreateEntry(path).Open();
                entry.Write(Encoding.UTF8.GetBytes(content));
            }
        }

        return stream.ToArray();
    }
}
