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
        Text(files["products/a-1/index.html"]).ShouldContain("<p>Big<br>\nand blue</p>");
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
    [InlineData("{{ shop.slug }} {% render 'header' %} {% raw %}")]
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
    [InlineData(1234.5, "EUR", "en", "€1,234.50")]
    [InlineData(1234.5, "EUR", "de-DE", "1.234,50 €")]
    [InlineData(1234.5, "EUR", "fr-FR", "1 234,50 €")]
    [InlineData(1234.5, "EUR", "en-IE", "€1,234.50")]
    [InlineData(1200, "JPY", "en", "¥1,200")]
    [InlineData(1200, "JPY", "ja-JP", "￥1,200")]
    [InlineData(1.234, "KWD", "en", "KWD 1.234")]
    [InlineData(1.2345, "CLF", "en", "CLF 1.2345")]
    [InlineData(0, "CHF", "en", "CHF 0.00")]
    [InlineData(12.5, "CHF", "de-CH", "CHF 12.50")]
    [InlineData(12.5, "USD", "en-US", "$12.50")]
    [InlineData(12.5, "USD", "en-CA", "$12.50")]
    [InlineData(12.5, "USD", "not a locale", "$12.50")]
    public void Prices_are_written_by_currency_and_locale(double price, string code, string locale, string expected)
    {
        var currency = new CurrencyFormat(code, Locales.Find(locale));

        currency.Format(currency.ToMinorUnits((decimal)price)).Replace('\u00A0', ' ').Replace('\u202F', ' ').ShouldBe(expected);
    }

    [Fact]
    public void A_page_has_the_language_and_direction_of_the_shops_locale()
    {
        var entries = Bundles.Entries("<html lang=\"{{ shop.locale }}\" dir=\"{{ shop.text_direction }}\">{{ 'now' | date: '%B' }}</html>");

        Text(Render(Bundles.Store() with { Locale = "ar-EG" }, entries)["index.html"]).ShouldStartWith("<html lang=\"ar-EG\" dir=\"rtl\">");
        Text(Render(Bundles.Store() with { Locale = "ja" }, entries)["index.html"]).ShouldStartWith("<html lang=\"ja\" dir=\"ltr\">");
    }

    [Fact]
    public void A_paginated_list_is_spread_over_pages_that_link_to_each_other()
    {
        var entries = Bundles.Entries("""
            {% paginate products by 2 %}{% for product in products %}[{{ product.title }}]{% endfor %}{{ paginate.current_page }}/{{ paginate.pages }} of {{ paginate.items }}
            <a href="{{ paginate.previous.url }}">p</a><a href="{{ paginate.next.url }}">n</a>{% endpaginate %}{{ products.size }}
            """);
        ProductSpec[] products = [.. Enumerable.Range(1, 5).Select(n => new ProductSpec($"s{n}", $"P{n}", n, "EUR"))];

        var files = Render(Bundles.Store(products: products), entries);

        Text(files["index.html"]).ShouldBe("[P1][P2]1/3 of 5\n<a href=\"\">p</a><a href=\"page-2/\">n</a>5", StringCompareShould.IgnoreLineEndings);
        Text(files["page-2/index.html"]).ShouldBe("[P3][P4]2/3 of 5\n<a href=\"../\">p</a><a href=\"../page-3/\">n</a>5", StringCompareShould.IgnoreLineEndings);
        Text(files["page-3/index.html"]).ShouldStartWith("[P5]3/3 of 5");
        files.Keys.ShouldNotContain("page-4/index.html");
    }

    [Fact]
    public void Collections_have_pages_of_their_own_with_their_products_in_order()
    {
        var entries = Bundles.Entries("{% for c in collections %}<a href=\"{{ c.url }}\">{{ c.title }} {{ c.products_count }}</a>{% endfor %}{{ collections['red'].title }}{{ collections.size }}");
        entries["template.json"] = entries["template.json"].Replace(
            "{\"path\": \"404.html\"", "{\"path\": \"c/{slug}/index.html\", \"template\": \"pages/c.liquid\", \"forEach\": \"collections\"}, {\"path\": \"404.html\"", StringComparison.Ordinal);
        entries["pages/c.liquid"] = "{% paginate collection.products by 1 %}{{ collection.title }}:{% for p in collection.products %}{{ p.title }}{% endfor %}{% endpaginate %}";
        var store = Bundles.Store(products: [new("a", "A", 1, "EUR"), new("b", "B", 2, "EUR")]) with { Collections = [new("red", "Red", Skus: ["b", "gone", "a"])] };

        var files = Render(store, entries);

        Text(files["index.html"]).ShouldBe("<a href=\"c/red/\">Red 2</a>Red1");
        Text(files["c/red/index.html"]).ShouldBe("Red:B");
        Text(files["c/red/page-2/index.html"]).ShouldBe("Red:A");
    }

    [Fact]
    public void Variants_have_their_own_prices_and_a_product_the_lowest()
    {
        var shirt = new ProductSpec("s", "Shirt", 10, "EUR")
        {
            Options = ["Size", "Colour"],
            Variants = [new("s-m", ["M", "Red"], 12.5m), new("s-l", ["L", "Red"], 10, Available: false)],
        };
        var entries = Bundles.Entries("""
            {% assign p = products.first %}{{ p.price | money }} {{ p.price_max | money_without_currency }} {{ p.price_varies }} {{ p.options | join: ' and ' }}
            {% for v in p.variants %}{{ v.title }} {{ v.option1 }} {{ v.price | money }} {{ v.available }};{% endfor %}
            """);

        Text(Render(Bundles.Store(products: shirt), entries)["index.html"]).Trim()
            .ShouldBe("€10.00 12.50 true Size and Colour\nM / Red M €12.50 true;L / Red L €10.00 false;", StringCompareShould.IgnoreLineEndings);
    }

    [Fact]
    public void Structured_data_describes_the_product_and_its_offer()
    {
        var entries = Bundles.Entries();
        entries["pages/product.liquid"] = "<script type=\"application/ld+json\">{{ product | structured_data }}</script>";

        var page = Text(Render(Bundles.Store(products: Mug), entries)["products/a-1/index.html"]);
        var data = System.Text.Json.Nodes.JsonNode.Parse(page[(page.IndexOf('>', StringComparison.Ordinal) + 1)..page.LastIndexOf("</", StringComparison.Ordinal)])!;

        ((string)data["@type"]!).ShouldBe("Product");
        ((string)data["url"]!).ShouldBe("http://localhost:9003/stores/mugs/products/a-1/");
        ((string)data["offers"]!["price"]!).ShouldBe("1234.50");
        ((string)data["offers"]!["priceCurrency"]!).ShouldBe("EUR");
        ((string)data["offers"]!["availability"]!).ShouldBe("https://schema.org/InStock");
    }

    [Fact]
    public void An_asset_with_spaces_and_letters_of_any_language_is_stored_under_a_safe_name()
    {
        var entries = Bundles.Entries("<img src=\"{{ 'img/Größe M.png' | asset_url }}\" alt=\"\">", css: "a { background: url('../img/Größe M.png') } b { background: url(../img/Gr%C3%B6%C3%9Fe%20M.png) }");
        entries["assets/img/Größe M.png"] = "x";

        var files = Render(Bundles.Store(), entries);

        var image = files.Values.Single(file => file.Path.EndsWith("e-M.png", StringComparison.Ordinal));
        image.Path.ShouldBe($"_assets/{image.Digest}/Gr-e-M.png");
        Text(files["index.html"]).ShouldContain($"src=\"{image.Path}\"");
        Text(files.Values.Single(file => file.Path.EndsWith(".css", StringComparison.Ordinal)))
            .ShouldBe($"a {{ background: url('../{image.Digest}/Gr-e-M.png') }} b {{ background: url(../{image.Digest}/Gr-e-M.png) }}");
    }
}
