using System.IO.Compression;
using System.Text;
using Platform.Drill.Planning;

namespace Platform.Drill.Systems;

/// <summary>A template whose pages and assets contain their version, so that mixtures of releases can be detected.</summary>
internal static class DrillTemplate
{
    public const string Name = "drill";

    /// <summary>A version with a broken link: it can be published, but its deployments fail permanently.</summary>
    public const string BrokenVersion = "9.0.0";

    private static readonly DateTimeOffset Fixed = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static string Version(int number) => $"{number + 1}.0.0";

    public static IEnumerable<string> AllVersions => [.. Enumerable.Range(0, Schedule.Versions).Select(Version), BrokenVersion];

    public static byte[] Bundle(string version)
    {
        var head = $$$"""
            <!doctype html><html lang="en"><head><title>{{ shop.name }}</title><meta name="drill-shop" content="{{ shop.name }}"><meta name="drill-version" content="{{{version}}}">
            <link rel="stylesheet" href="{{ 'css/store.css' | asset_url }}"></head>
            """;
        var broken = version == BrokenVersion ? """<a href="missing.html">nothing</a>""" : "";
        using var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            Add("template.json", $$"""
                {
                  "name": "{{Name}}", "version": "{{version}}", "title": "Drill", "description": "For the drill.", "parameters": [],
                  "pages": [
                    {"path": "index.html", "template": "pages/index.liquid"},
                    {"path": "products/{slug}/index.html", "template": "pages/product.liquid", "forEach": "products"},
                    {"path": "404.html", "template": "pages/404.liquid"}
                  ]
                }
                """);
            Add("pages/index.liquid", head + """<body>{% for product in products %}<a class="product" href="{{ product.url }}">{{ product.title }}</a>{% endfor %}""" + broken + "</body></html>");
            Add("pages/product.liquid", head + """<body><h1>{{ product.title }}</h1></body></html>""");
            Add("pages/404.liquid", head + """<body><h1>Not here</h1></body></html>""");
            Add("assets/css/store.css", $"/* drill-version {version} */ body {{ background: url(../img/a.svg) }}");
            // Some assets differ between versions, others are shared by all releases.
            for (var n = 0; n < 4; n++)
            {
                Add($"assets/img/{(char)('a' + n)}.svg", $"""<svg xmlns="http://www.w3.org/2000/svg"><title>{version} {n}</title></svg>""");
                Add($"assets/img/{(char)('m' + n)}.svg", $"""<svg xmlns="http://www.w3.org/2000/svg"><title>{n}</title></svg>""");
            }

            void Add(string path, string content)
            {
                var entry = archive.CreateEntry(path);
                entry.LastWriteTime = Fixed;
                using var target = entry.Open();
                target.Write(Encoding.UTF8.GetBytes(content));
            }
        }

        return stream.ToArray();
    }
}
