using System.Globalization;
using System.Text;
using AngleSharp.Html.Parser;
using Microsoft.Extensions.Time.Testing;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Tests.Rendering;

/// <summary>Templates that pass the checks at publishing and try to use up memory and time, and shops whose texts try to become code.</summary>
public sealed class HostileTemplateTests
{
    private static readonly ProductSpec[] Products = [.. Enumerable.Range(0, 500).Select(n => new ProductSpec($"p{n}", $"Product {n}", n, "EUR"))];

    private static string Render(Dictionary<string, string> entries, RenderLimits? limits = null, TimeProvider? time = null, params ProductSpec[] products)
    {
        var files = new StoreTemplate(TemplateBundle.Open(Bundles.Zip(entries)), limits ?? new RenderLimits())
            .Render(Bundles.Store(products: products), time ?? new FakeTimeProvider(), TestContext.Current.CancellationToken);
        return Encoding.UTF8.GetString(files.Single(file => file.Path == "index.html").Content.Span);
    }

    private static Dictionary<string, string> With(string index, params (string Path, string Text)[] more)
    {
        var entries = Bundles.Entries(index);
        foreach (var (path, text) in more)
            entries[path] = text;
        return entries;
    }

    private static string Repeat(string text, int times) => new StringBuilder().Insert(0, text, times).ToString();

    private static void ShouldExceedLimits(Dictionary<string, string> entries, RenderLimits? limits = null) =>
        Should.Throw<RenderException>(() => Render(entries, limits, products: Products)).Code.ShouldBe("render-limit");

    [Theory]
    [InlineData("{% for a in products %}{% for b in products %}{% for c in products %}{% assign x = 1 %}{% endfor %}{% endfor %}{% endfor %}")]
    [InlineData("{% for a in (1..1000) %}{% for b in (1..1000) %}{% endfor %}{% endfor %}")]
    [InlineData("{% for a in products %}{% render 'header' for products as p %}{% endfor %}")]
    public void Statements_are_limited(string index) => ShouldExceedLimits(With(index, ("partials/header.liquid", "")));

    [Fact]
    public void Exponentially_many_partials_without_output_are_limited()
    {
        var entries = With("{% render 'p0' %}", ("partials/p12.liquid", ""));
        for (var n = 0; n < 12; n++)
            entries[string.Create(CultureInfo.InvariantCulture, $"partials/p{n}.liquid")] = Repeat(string.Create(CultureInfo.InvariantCulture, $"{{% render 'p{n + 1}' %}}"), 10);

        ShouldExceedLimits(entries);
    }

    [Theory]
    [InlineData("{% assign s = 'xxxxxxxxxx' %}{% for i in (1..1000) %}{% assign s = s | append: s %}{% endfor %}")]
    [InlineData("{% assign s = 'xxxxxxxxxx' %}{% for i in (1..1000) %}{% assign s = s | prepend: s %}{% endfor %}")]
    [InlineData("{% assign s = 'xxxxxxxxxx' %}{% for i in (1..1000) %}{% assign s = s | replace: 'x', s %}{% endfor %}")]
    [InlineData("{% assign s = 'xxxxxxxxxx' %}{% for i in (1..1000) %}{% capture s %}{{ s }}{{ s }}{{ s }}{% endcapture %}{% endfor %}")]
    [InlineData("{% assign s = 'x x' %}{% for i in (1..1000) %}{% assign s = s | split: ' ' | join: ' x x x x x x ' %}{% endfor %}")]
    [InlineData("{% assign s = 'x' %}{% for i in (1..1000) %}{% assign s = s | append: s | newline_to_br | strip_html %}{% endfor %}")]
    [InlineData("{% assign l = products %}{% for i in (1..1000) %}{% assign l = l | concat: l %}{% endfor %}")]
    public void Values_that_grow_in_a_loop_are_limited(string index)
    {
        var entries = With(index);
        var before = GC.GetAllocatedBytesForCurrentThread();

        ShouldExceedLimits(entries);

        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(200L * 1024 * 1024);
    }

    [Fact]
    public void The_size_of_a_page_is_limited() => ShouldExceedLimits(With("{% for p in products %}" + new string('x', 10_000) + "{% endfor %}"));

    [Fact]
    public void The_size_of_a_store_is_limited() => ShouldExceedLimits(With("", ("pages/product.liquid", new string('x', 10_000))), new RenderLimits { StoreSize = 1_000_000 });

    [Theory]
    [InlineData("{% for p in products %}x{% endfor %}")]
    [InlineData("{% for p in products %}{% assign s = p.title | upcase %}{% endfor %}")]
    public void Rendering_time_is_limited(string index) =>
        Should.Throw<TimeoutException>(() => Render(With(index), time: new FakeTimeProvider { AutoAdvanceAmount = TimeSpan.FromSeconds(1) }, products: Products));

    [Fact]
    public void An_expression_that_can_not_be_computed_fails_permanently()
    {
        var exception = Should.Throw<RenderException>(() => Render(With("{{ 1 | divided_by: 0 }}")));

        exception.Code.ShouldBe("template-invalid");
        exception.Message.ShouldStartWith("pages/index.liquid can't be rendered for index.html: ");
    }

    [Theory]
    [InlineData("{% render '../../../../etc/passwd' %}")]
    [InlineData("{% render '/etc/passwd' %}")]
    [InlineData("{% include 'header' %}")]
    [InlineData("{{ settings.tagline | raw }}")]
    [InlineData("<a onclick=\"{{ settings.tagline }}\">x</a>")]
    public void The_registrys_checks_are_repeated(string index) =>
        Should.Throw<RenderException>(() => TemplateBundle.Open(Bundles.Zip(With(index)))).Code.ShouldBe("bundle-invalid");

    [Fact]
    public void A_template_in_the_former_language_fails_with_the_reason()
    {
        var entries = With("");
        entries["pages/old.hbs"] = "{{shop.name}}";

        var exception = Should.Throw<RenderException>(() => TemplateBundle.Open(Bundles.Zip(entries)));

        exception.Code.ShouldBe("template-language");
        exception.Message.ShouldContain("Handlebars");
        exception.Message.ShouldContain("Choose a newer version");
    }

    [Fact]
    public void A_zip_that_unpacks_to_more_than_the_limit_is_refused()
    {
        var entries = With("");
        for (var n = 0; n < 3; n++)
            entries[string.Create(CultureInfo.InvariantCulture, $"assets/{n}.txt")] = new string('0', 40 * 1024 * 1024);

        Should.Throw<RenderException>(() => TemplateBundle.Open(Bundles.Zip(entries))).Code.ShouldBe("bundle-invalid");
    }

    [Fact]
    public void A_file_that_is_not_a_zip_is_refused() =>
        Should.Throw<RenderException>(() => TemplateBundle.Open(Encoding.UTF8.GetBytes("not a zip"))).Code.ShouldBe("bundle-invalid");

    /// <summary>Every way in which a merchant's text reaches a page. Whatever the text is, the page must have the same elements and attributes.</summary>
    [Theory]
    [InlineData("<script>alert(1)</script>")]
    [InlineData("\"><img src=x onerror=alert(1)>")]
    [InlineData("' onmouseover='alert(1)")]
    [InlineData("</script><script>alert(1)</script>")]
    [InlineData("</title><script>alert(1)</script>")]
    [InlineData("javascript:alert(1)")]
    [InlineData("{{ shop.slug }}{% render 'header' %}{% raw %}")]
    [InlineData("&lt;script&gt; &amp;quot; \u2028 \u2029 \\u003cscript\\u003e")]
    [InlineData("`${alert(1)}` <!-- --> ]]> \u0000 \uFEFF")]
    public void A_merchants_text_never_changes_the_structure_of_a_page(string typed)
    {
        const string Index = """
            <!doctype html><html lang="en"><head><title>{{ shop.name }}</title><meta name="description" content="{{ settings.tagline }}"></head><body title='{{ shop.name | upcase }}'>
            {{ shop.name }}{{ shop.name | escape }}{{ shop.name | escape_once }}{{ shop.name | append: settings.tagline }}{{ settings.tagline | prepend: shop.name }}
            {{ shop.name | escape | append: settings.tagline }}{{ shop.name | replace: 'a', settings.tagline }}{{ shop.name | split: ' ' | join: settings.tagline }}
            {{ shop.name | newline_to_br }}{{ shop.name | strip_html }}{{ shop.name | truncate: 20 }}{{ shop.name | slice: 0, 9 }}{{ shop.name | default: settings.tagline }}
            {{ shop.name | split: '' | first }}{{ shop.name | split: '>' | last }}{{ shop.name | url_encode }}{{ shop.name | date: settings.tagline }}{{ shop.name | capitalize }}
            {% capture html %}<b>{{ shop.name }}</b>{% endcapture %}{{ html }}{{ html | strip_html }}{% cycle shop.name, settings.tagline %}{% assign x = shop.name %}{{ x }}
            {{ products | map: 'title' | join: settings.tagline }}{{ products.first.title }}{% for p in products %}<a href="{{ p.url }}" title="{{ p.title }}">{{ p.description | newline_to_br }}</a>{% endfor %}
            <p data-json="{{ products.first | json | escape }}">{{ shop.name | json }}</p><a href="https://example.org/?q={{ shop.name | url_encode }}">x</a><a href="/{{ shop.name }}">x</a>
            <script type="application/ld+json">{{ products.first | structured_data }}</script><script type="application/json">{{ shop.name | json }}</script><style>p { width: {{ shop.name | at_least: 1 }}px; height: {{ shop.name | at_most: 9 }}px; top: {{ shop.name | abs }}px }</style><textarea>{{ shop.name }}</textarea>
            </body></html>
            """;
        var harmless = Structure("harmless text");

        Structure(typed).ShouldBe(harmless);

        string Structure(string text)
        {
            var template = new StoreTemplate(TemplateBundle.Open(Bundles.Zip(With(Index))), new RenderLimits());
            var product = new ProductSpec("a", text, 1, "EUR", Description: text);
            var files = template.Render(Bundles.Store(text, new { tagline = text.Length > 150 ? text[..150] : text }, product), new FakeTimeProvider(), default);
            using var document = new HtmlParser().ParseDocument(Encoding.UTF8.GetString(files.Single(file => file.Path == "index.html").Content.Span));
            foreach (var script in document.QuerySelectorAll("script"))
                System.Text.Json.JsonDocument.Parse(script.TextContent).Dispose();
            // newline_to_br makes them of line ends.
            return string.Join(" ", document.All.Where(e => e.LocalName != "br").Select(e => $"{e.LocalName}[{string.Join(",", e.Attributes.Select(a => a.Name))}]"));
        }
    }
}
