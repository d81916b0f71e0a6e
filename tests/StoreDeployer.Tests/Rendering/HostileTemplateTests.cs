using System.Globalization;
using System.Text;
using Microsoft.Extensions.Time.Testing;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Tests.Rendering;

/// <summary>The limits of rendering, tested with templates that bypass the checks at publishing and unpacking.</summary>
public sealed class HostileTemplateTests
{
    private static readonly ProductSpec[] Products = [.. Enumerable.Range(0, 500).Select(n => new ProductSpec($"p{n}", $"Product {n}", n, "EUR"))];

    private static string Render(Dictionary<string, string> entries, RenderLimits? limits = null, TimeProvider? time = null, params ProductSpec[] products)
    {
        var files = new StoreTemplate(Bundles.Unchecked(entries), limits ?? new RenderLimits())
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

    [Fact]
    public void Nested_loops_without_output_are_limited() =>
        Should.Throw<RenderException>(() => Render(
            With("{{#each products}}{{#each ../products}}{{#each ../../products}}{{#each @root.products}}{{/each}}{{/each}}{{/each}}{{/each}}"),
            products: Products)).Code.ShouldBe("render-limit");

    [Fact]
    public void Loops_over_objects_are_limited() =>
        Should.Throw<RenderException>(() => Render(
            With("{{#each products}}{{#each this}}{{#each @root.settings}}{{/each}}{{/each}}{{/each}}"), products: Products)).Code.ShouldBe("render-limit");

    [Fact]
    public void A_partial_that_includes_itself_is_limited() =>
        Should.Throw<RenderException>(() => Render(With("{{> loop}}", ("partials/loop.hbs", "x{{> loop}}")))).Code.ShouldBe("template-invalid");

    [Fact]
    public void Exponentially_many_partials_without_output_are_limited()
    {
        var entries = With("{{> p0}}");
        for (var n = 0; n < 12; n++)
            entries[string.Create(CultureInfo.InvariantCulture, $"partials/p{n}.hbs")] = Repeat(string.Create(CultureInfo.InvariantCulture, $"{{{{> p{n + 1}}}}}"), 10);
        entries["partials/p12.hbs"] = "";

        Should.Throw<RenderException>(() => Render(entries)).Code.ShouldBe("render-limit");
    }

    [Fact]
    public void The_size_of_a_page_is_limited() =>
        Should.Throw<RenderException>(() => Render(With("{{#each products}}" + new string('x', 10_000) + "{{/each}}"), products: Products)).Code.ShouldBe("render-limit");

    [Fact]
    public void The_size_of_a_store_is_limited() =>
        Should.Throw<RenderException>(() => Render(
            With("", ("pages/product.hbs", new string('x', 10_000))), new RenderLimits { StoreSize = 1_000_000 }, products: Products)).Code.ShouldBe("render-limit");

    [Fact]
    public void Rendering_time_is_limited() =>
        Should.Throw<TimeoutException>(() => Render(
            With("{{#each products}}x{{/each}}"), time: new FakeTimeProvider { AutoAdvanceAmount = TimeSpan.FromSeconds(1) }, products: Products));

    [Theory]
    [InlineData("{{#if shop}}", "{{/if}}")]
    [InlineData("{{#each products}}", "{{/each}}")]
    public void Deep_nesting_is_refused_before_it_overflows_the_compilers_stack(string open, string close) =>
        Should.Throw<RenderException>(() => Render(With(Repeat(open, 5_000) + Repeat(close, 5_000)))).Code.ShouldBe("template-invalid");

    [Fact]
    public void Nested_expressions_are_refused_before_they_overflow_the_compilers_stack() =>
        Should.Throw<RenderException>(() => Render(With("{{link " + Repeat("(link ", 5_000) + "\"x\"" + Repeat(")", 5_000) + "}}"))).Code.ShouldBe("template-invalid");

    [Theory]
    [InlineData("{{shop.name.Length}}")]
    [InlineData("{{shop.GetType}}")]
    [InlineData("{{shop.Count}}{{shop.Keys}}{{shop.Comparer}}{{shop.Values}}")]
    [InlineData("{{products.Count}}{{products.Capacity}}")]
    [InlineData("{{settings.columns.Scale}}")]
    [InlineData("{{#each shop.name}}x{{/each}}")]
    [InlineData("{{#with shop.name}}{{Length}}{{/with}}")]
    [InlineData("{{lookup shop 'Count'}}{{lookup products 'Count'}}")]
    [InlineData("{{@root.Count}}{{page.Keys.Count}}{{year.GetTypeCode}}")]
    public void Members_of_dotnet_objects_are_not_accessible(string template) => Render(With(template)).ShouldBe("");

    [Fact]
    public void Files_can_not_be_read()
    {
        var directory = Directory.CreateTempSubdirectory("hostile");
        File.WriteAllText(Path.Combine(directory.FullName, "secret.hbs"), "secret");
        try
        {
            Should.Throw<RenderException>(() => Render(With($"{{{{> [{directory.FullName}/secret]}}}}"))).Code.ShouldBe("template-invalid");
            Should.Throw<RenderException>(() => Render(With("{{> ../../../../../../../../etc/passwd}}"))).Code.ShouldBe("template-invalid");
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Fact]
    public void The_registrys_checks_are_repeated()
    {
        var zip = Bundles.Zip(With("{{{settings.tagline}}}"));

        Should.Throw<RenderException>(() => TemplateBundle.Open(zip)).Code.ShouldBe("bundle-invalid");
    }

    [Fact]
    public void A_zip_that_unpacks_to_more_than_the_limit_is_refused()
    {
        var entries = With("");
        for (var n = 0; n < 3; n++)
            entries[string.Create(CultureInfo.InvariantCulture, $"assets/{n}.txt")] = new string('0', 8 * 1024 * 1024);

        Should.Throw<RenderException>(() => TemplateBundle.Open(Bundles.Zip(entries))).Code.ShouldBe("bundle-invalid");
    }

    [Fact]
    public void A_file_that_is_not_a_zip_is_refused() =>
        Should.Throw<RenderException>(() => TemplateBundle.Open(Encoding.UTF8.GetBytes("not a zip"))).Code.ShouldBe("bundle-invalid");
}
