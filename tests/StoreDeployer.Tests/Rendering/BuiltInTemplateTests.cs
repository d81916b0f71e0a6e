using System.IO.Compression;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using AngleSharp.Dom;
using AngleSharp.Html.Dom;
using AngleSharp.Html.Parser;
using Microsoft.Extensions.Time.Testing;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Rendering;

/// <summary>Each built-in template, rendered for shops of different sizes and languages.</summary>
public sealed partial class BuiltInTemplateTests
{
    private static readonly string Folder = Path.Combine(RepositoryRoot.Path, "TemplateRegistry", "BuiltIn");
    private static readonly string[] Templates = [.. Directory.GetDirectories(Folder).Select(folder => Path.GetFileName(folder)!).Order(StringComparer.Ordinal)];

    public static TheoryData<string, string> TemplatesAndShops() => [.. from template in Templates from shop in SampleShops.Names select (template, shop)];

    public static TheoryData<string, string> TemplatesAndLanguages() =>
        [.. from template in Templates from shop in (string[])["arabic", "hebrew", "japanese"] select (template, shop)];

    [Theory]
    [MemberData(nameof(TemplatesAndShops))]
    public void A_store_is_complete(string template, string shop)
    {
        var store = SampleShops.Create(shop, "sample");
        var files = Render(template, store);

        StoreLinks.Check(files, store.RootPath);
        var linked = new HashSet<string>();
        foreach (var (path, document) in Pages(files))
        {
            document.DocumentElement.GetAttribute("lang").ShouldBe(store.Locale, path);
            document.DocumentElement.GetAttribute("dir").ShouldBe(shop is "arabic" or "hebrew" ? "rtl" : "ltr", path);
            document.Title.ShouldNotBeNull().ShouldContain(store.Name, customMessage: path);
            document.QuerySelectorAll("h1").Length.ShouldBe(1, path);
            document.QuerySelectorAll("main, [role=main]").Length.ShouldBe(1, path);
            document.QuerySelector("a[href='#content']").ShouldNotBeNull(path);
            document.QuerySelector("link[rel=icon]").ShouldNotBeNull(path);
            document.QuerySelector("meta[property='og:title']").ShouldNotBeNull(path);
            CheckScripts(path, document);
            linked.UnionWith(document.QuerySelectorAll("main a[href]").Select(link => new Uri(new Uri(store.Url, path), link.GetAttribute("href")!).AbsolutePath));
        }

        foreach (var product in store.Products)
            linked.ShouldContain($"{store.RootPath}products/{product.UrlSlug}/");
    }

    [Theory]
    [MemberData(nameof(TemplatesAndShops))]
    public void A_product_page_describes_the_product_to_search_engines(string template, string shop)
    {
        var store = SampleShops.Create(shop, "sample");

        foreach (var (path, document) in Pages(Render(template, store)).Where(page => page.Path.StartsWith("products/", StringComparison.Ordinal)))
        {
            var data = document.QuerySelectorAll("script[type='application/ld+json']").Select(script => JsonDocument.Parse(script.TextContent).RootElement).ToList();
            var product = data.Single(d => d.GetProperty("@type").GetString() == "Product");
            product.GetProperty("name").GetString().ShouldBe(document.QuerySelector("h1")!.TextContent.Trim(), path);
            product.GetProperty("offers").GetProperty("priceCurrency").GetString().ShouldBe(store.Currency);
            var trail = data.Single(d => d.GetProperty("@type").GetString() == "BreadcrumbList").GetProperty("itemListElement").EnumerateArray().ToList();
            trail[^1].GetProperty("item").GetString().ShouldBe(store.Url + path[..^"index.html".Length]);
            trail.ShouldAllBe(item => item.GetProperty("item").GetString()!.StartsWith(store.Url.AbsoluteUri, StringComparison.Ordinal));
            trail.Select(item => item.GetProperty("position").GetInt32()).ShouldBe(Enumerable.Range(1, trail.Count));
        }
    }

    [Theory]
    [MemberData(nameof(TemplatesAndLanguages))]
    public void A_store_in_a_supported_language_has_no_English_words(string template, string shop)
    {
        var store = SampleShops.Create(shop, "sample");

        foreach (var (path, document) in Pages(Render(template, store)))
        {
            var texts = document.Body!.Descendants<IText>().Where(text => text.ParentElement is not IHtmlScriptElement).Select(text => text.Data.Trim());
            texts.Where(text => text != "hello@example.com" && EnglishWord().IsMatch(text.Replace(store.Currency, "", StringComparison.Ordinal))).ShouldBeEmpty(path);
        }
    }

    [Theory]
    [MemberData(nameof(TemplatesAndShops))]
    public void Sold_out_products_and_former_prices_are_marked(string template, string shop)
    {
        var store = SampleShops.Create(shop, "sample");
        var pages = Pages(Render(template, store)).ToDictionary(page => page.Path, page => page.Document);

        foreach (var product in store.Products.Take(60))
        {
            var main = pages[$"products/{product.UrlSlug}/index.html"].QuerySelector("main")!;
            main.QuerySelector("article, .stage")!.QuerySelectorAll(".badge-gone, .price .sold-out").Length.ShouldBe(product.Available ? 0 : 1, product.Name);
            main.QuerySelector("article, .stage")!.QuerySelectorAll("s.was").Length.ShouldBe(product.CompareAtPrice is null ? 0 : 1, product.Name);
        }
    }

    private static IReadOnlyList<ReleaseFile> Render(string template, StoreSpec store)
    {
        using var zip = new MemoryStream();
        ZipFile.CreateFromDirectory(Path.Combine(Folder, template), zip);
        return new StoreTemplate(TemplateBundle.Open(zip.ToArray()), new RenderLimits()).Render(store, new FakeTimeProvider(), TestContext.Current.CancellationToken);
    }

    private static IEnumerable<(string Path, IHtmlDocument Document)> Pages(IReadOnlyList<ReleaseFile> files) => files
        .Where(file => file.Path.EndsWith(".html", StringComparison.Ordinal))
        .Select(file => (file.Path, new HtmlParser().ParseDocument(Encoding.UTF8.GetString(file.Content.Span))));

    // The stores' Content-Security-Policy blocks inline scripts, and only data may be within a script element.
    private static void CheckScripts(string path, IHtmlDocument document)
    {
        foreach (var script in document.Scripts)
        {
            if (script.Type == "application/ld+json")
                Should.NotThrow(() => JsonDocument.Parse(script.TextContent), path);
            else
                script.Source.ShouldNotBeNull(path).ShouldContain(ReleaseFile.AssetsFolder, customMessage: path);
        }

        document.All.ShouldAllBe(element => element.Attributes.All(attribute => !attribute.Name.StartsWith("on", StringComparison.Ordinal)), path);
    }

    [GeneratedRegex("[A-Za-z]{3,}")]
    private static partial Regex EnglishWord();
}
