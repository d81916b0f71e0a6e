using System.IO.Compression;
using System.Text;
using AngleSharp.Html.Parser;
using Microsoft.Extensions.Time.Testing;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Rendering;

/// <summary>The built-in template, rendered for shops of different sizes.</summary>
public sealed class BuiltInTemplateTests
{
    private static readonly string Folder = Path.Combine(RepositoryRoot.Path, "TemplateRegistry", "BuiltIn", "aurora");

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(500)]
    public async Task It_renders_a_complete_store(int products)
    {
        using var zip = new MemoryStream();
        await ZipFile.CreateFromDirectoryAsync(Folder, zip, TestContext.Current.CancellationToken);
        var store = Bundles.Store("<script>alert(1)</script>", products: [.. Enumerable.Range(1, products).Select(n =>
            new ProductSpec($"sku-{n}", $"Product <{n}>", n, "EUR", "Line one\nline two", n % 2 == 0 ? "https://pictures.example/a.jpg" : null))]);

        var files = new StoreTemplate(TemplateBundle.Open(zip.ToArray()), new RenderLimits()).Render(store, new FakeTimeProvider(), TestContext.Current.CancellationToken);

        StoreLinks.Check(files, store.RootPath);
        var index = Encoding.UTF8.GetString(files.Single(file => file.Path == "index.html").Content.Span);
        using var document = await new HtmlParser().ParseDocumentAsync(index, TestContext.Current.CancellationToken);
        document.Title.ShouldNotBeNull().ShouldContain("<script>alert(1)</script>");
        document.QuerySelectorAll("script").ShouldBeEmpty();
        var lists = files.Where(file => file.Path == "index.html" || file.Path.StartsWith("page-", StringComparison.Ordinal)).Select(file => Encoding.UTF8.GetString(file.Content.Span));
        lists.SelectMany(list => new HtmlParser().ParseDocument(list).QuerySelectorAll(".grid a").Select(link => Path.GetFileName(link.GetAttribute("href")!.TrimEnd('/'))))
            .Distinct().Count().ShouldBe(products);
        files.Count(file => file.Path.EndsWith(".html", StringComparison.Ordinal)).ShouldBeGreaterThanOrEqualTo(products + 2);
    }
}
