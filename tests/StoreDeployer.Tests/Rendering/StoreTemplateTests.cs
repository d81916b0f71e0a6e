using System.Text;
using AngleSharp.Html.Parser;
using Microsoft.Extensions.Time.Testing;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Tests.Rendering;

public sealed class StoreTemplateTests
{
    private static readonly ProductSpec Mug = new("A-1", "Mug", 1234.5m, "EUR", Description: "Big\nand blue");

    private static Dictionary<string, ReleaseFile> Render(StoreSpec store, Dictionary<string, string>? entries = null) =>
        new StoreTemplate(TemplateBundle.Open(Bundles.Zip(entries ?? Bundles.Entries())), new RenderLimits())
            .Render(store, new FakeTimeProvider(), TestContext.Current.CancellationToken).ToDictionary(file => file.Path);

    private static string Text(ReleaseFile file) => Encoding.UTF8.GetString(file.Content.Span);

    [Fact]
    public void A_store_has_all_pages_and_assets_with_links_relative_to_each_page()
    {
        var files = Render(Bundles.Store(products: Mug));

        var css = files.Keys.Single(path => path.EndsWith("/store.css", StringComparison.Ordinal));
        files.Keys.Where(path => !path.StartsWith("_assets/", StringComparison.Ordinal))
            .ShouldBe(["index.html", "products/a-1/index.html", "404.html"], ignoreOrder: true);
        Text(files["index.html"]).ShouldContain($"href=\"{css}\"");
        Text(files["index.html"]).ShouldContain("href=\"products/a-1/\"");
        Text(files["index.html"]).ShouldContain("Mug €1,234.50");
        Text(files["products/a-1/index.html"]).ShouldContain($"href=\"../../{css}\"");
        Text(files["products/a-1/index.html"]).ShouldContain("<a href=\"../../\">");
        // The 404 page is shown at any address, so its links can't be relative.
        Text(files["404.html"]).ShouldContain($"href=\"/stores/mugs/{css}\"");
    }

    [Fact]
    public void Assets_are_addressed_by_digest_and_style_sheets_refer_to_them_by_digest()
    {
        var files = Render(Bundles.Store());

        var logo = files.Values.Single(file => file.Path.EndsWith("/logo.png", StringComparison.Ordinal));
        var css = files.Values.Single(file => file.Path.EndsWith("/store.css", StringComparison.Ordinal));
        logo.Path.ShouldBe($"_assets/{FileDigest.Of(logo.Content.Span)}/logo.png");
        Text(css).ShouldBe($"header {{ background: url(../{logo.Digest}/logo.png) }}");
        css.Digest.ShouldBe(FileDigest.Of(css.Content.Span));
        css.ContentType.ShouldBe("text/css; charset=utf-8");
    }

    [Fact]
    public void A_style_sheet_that_refers_to_a_missing_file_fails_permanently() =>
        Should.Throw<RenderException>(() => Render(Bundles.Store(), Bundles.Entries(css: "a { background: url('none.png') }"))).Code.ShouldBe("asset-missing");

    [Fact]
    public void Settings_have_the_merchants_values_or_the_defaults()
    {
        var page = Text(Render(Bundles.Store(settings: new { accent = "#112233", banner = true }))["index.html"]);

        page.ShouldContain("--accent: #112233");
        page.ShouldContain("<p>Hello</p>");
        page.ShouldContain("<b>banner</b>");
        page.ShouldContain("<i>three</i>");
        page.ShouldContain("Nothing yet");
        Text(Render(Bundles.Store(settings: new { columns = 4 }))["index.html"]).ShouldNotContain("three");
    }

    [Fact]
    public void A_setting_invalid_for_its_parameter_is_ignored() =>
        Text(Render(Bundles.Store(settings: new { accent = "red;} body{display:none" }))["index.html"]).ShouldContain("--accent: #0f766e");

    [Theory]
    [InlineData("<script>alert(1)</script>")]
    [InlineData("\"><img src=x onerror=alert(1)>")]
    [InlineData("' onmouseover='alert(1)")]
    [InlineData("{{shop.slug}} {{{settings.about}}} {{> header}}")]
    [InlineData("&lt;script&gt; 😀 ünïcode")]
    public void Merchants_text_is_escaped(string typed)
    {
        var files = Render(Bundles.Store(typed, new { tagline = typed, about = typed + "\nsecond" }, Mug with { Name = typed, Description = typed }));

        var parser = new HtmlParser();
        using var index = parser.ParseDocument(Text(files["index.html"]));
        index.QuerySelectorAll("script, img").ShouldBeEmpty();
        index.Title.ShouldBe(typed);
        index.QuerySelector("header a")!.TextContent.ShouldBe(typed);
        index.QuerySelector("a.product")!.TextContent.ShouldStartWith(typed);
        index.QuerySelector("p:has(br)")!.TextContent.ShouldBe(typed + "\nsecond");
        index.All.SelectMany(element => element.Attributes).ShouldNotContain(a => a.Name.StartsWith("on"));
        using var product = parser.ParseDocument(Text(files["products/a-1/index.html"]));
        product.QuerySelectorAll("script, img[onerror]").ShouldBeEmpty();
        product.QuerySelector("h1")!.TextContent.ShouldBe(typed);
    }

    [Theory]
    [InlineData("\n  {{> header}}\n")]
    [InlineData("\n\t{{> header}}\n")]
    [InlineData("\r\n  {{> header}}\r\n")]
    [InlineData("\n  {{> header ~}}\n")]
    [InlineData("\n  {{ > header }}\n")]
    [InlineData("  {{> header}}")]
    [InlineData("\n  {{#if shop}}\n    {{> header}}\n  {{/if}}\n")]
    [InlineData("\n  {{> outer}}\n")]
    [InlineData("\n\u00a0{{> header}}\n")]
    [InlineData("\n\f {{> header}}\n")]
    [InlineData("\n \v{{> header}}\n")]
    [InlineData("\r  {{> header}}\r")]
    [InlineData("\n\u2028 {{> header}}\n")]
    [InlineData("\n  {{! note }}  {{> header}}\n")]
    [InlineData("\n  {{! note }}{{> header}}\n")]
    [InlineData("\n  {{#if shop}}{{> header}}{{/if}}\n")]
    [InlineData("\n  {{#if shop}}\n{{! note }}  {{> header}}\n{{/if}}\n")]
    [InlineData("\n  {{~> header}}\n")]
    [InlineData("\n  {{> header}}  {{> header}}\n")]
    [InlineData("\n<p>\n  \n  {{> header}}</p>")]
    [InlineData("{{#each products}}\n  {{else}}  {{> header}}\n{{/each}}")]
    public void An_indented_partial_on_a_line_of_its_own_escapes_its_output(string page)
    {
        var entries = Bundles.Entries(index: page);
        entries["partials/header.hbs"] = "{{shop.name}}";
        entries["partials/outer.hbs"] = "\n  {{> header}}\n";

        var index = Text(Render(Bundles.Store("<script>alert(1)</script>"), entries)["index.html"]);

        index.ShouldContain("&lt;script&gt;");
        index.ShouldNotContain("<script>");
    }

    [Fact]
    public void Rendering_the_same_shop_twice_gives_the_same_bytes()
    {
        var store = Bundles.Store(products: Mug);

        Render(store).Values.Select(file => (file.Path, file.Digest)).ShouldBe(Render(store).Values.Select(file => (file.Path, file.Digest)));
    }

    [Fact]
    public void One_template_renders_many_shops_concurrently()
    {
        var template = new StoreTemplate(TemplateBundle.Open(Bundles.Zip(Bundles.Entries())), new RenderLimits());

        Parallel.For(0, 200, n =>
        {
            var files = template.Render(Bundles.Store($"Shop {n}", products: Mug with { Name = $"Product {n}" }), new FakeTimeProvider(), default);
            Text(files.Single(file => file.Path == "products/a-1/index.html")).ShouldContain($"Product {n}<");
        });
    }

    [Fact]
    public void Two_products_with_the_same_address_fail_permanently() =>
        Should.Throw<RenderException>(() => Render(Bundles.Store(products: [Mug, Mug with { Sku = "a-1" }]))).Code.ShouldBe("duplicate-product");

    [Theory]
    [InlineData(1234.5, "EUR", "€1,234.50")]
    [InlineData(1234, "JPY", "¥1,234")]
    [InlineData(0, "CHF", "CHF 0.00")]
    public void Prices_are_formatted_by_currency(double price, string currency, string expected) =>
        Currencies.Format((decimal)price, currency).ShouldBe(expected);
}
