using Platform.Templates;

namespace Platform.TemplateRegistry.Tests.Bundles;

public sealed class TemplateLanguageTests
{
    [Theory]
    [InlineData("{{shop.name}} {{settings.tagline}} {{year}} {{page.path}}")]
    [InlineData("{{! a comment with {{ in it }}{{!-- a longer }} one --}}")]
    [InlineData("{{#if products}}yes{{else}}no{{/if}}")]
    [InlineData("{{#if products}}a{{else if settings.tagline}}b{{else}}c{{/if}}")]
    [InlineData("{{#unless settings.prices}}free{{/unless}}")]
    [InlineData("{{#each products}}{{@index}}{{#if @first}}!{{/if}}{{this.name}} {{../shop.name}} {{@root.settings.tagline}}{{else}}none{{/each}}")]
    [InlineData("{{#each products}}{{#each ../products}}{{#eq sku ../sku}}same{{/eq}}{{/each}}{{/each}}")]
    [InlineData("{{#with shop}}{{name}}{{/with}}")]
    [InlineData("{{#eq settings.mood \"calm\"}}a{{else}}b{{/eq}}{{#eq settings.columns 3}}c{{/eq}}{{#eq settings.prices true}}d{{/eq}}")]
    [InlineData("{{#if product}}{{product.name}}{{/if}}{{#with product}}{{name}}{{/with}}")]
    [InlineData("a {{~#if products~}} b {{~/if~}} c")]
    [InlineData("<a href=\"{{settings.site}}\" title='{{settings.tagline}}'>x</a>")]
    [InlineData("<a href=\"mailto:{{settings.tagline}}\">x</a><a href=\"https://example.org/?q={{settings.tagline}}\">x</a>")]
    [InlineData("<a href=\"{{page.root}}about/\">x</a><a href=\"{{link \"index.html\"}}#x\">x</a><img src='{{asset 'css/store.css'}}'>")]
    [InlineData("<a href=\"{{#if settings.site}}{{settings.site}}{{else}}{{shop.url}}{{/if}}\">x</a>")]
    [InlineData("<option value=\"a\"{{#eq settings.mood \"calm\"}} selected{{/eq}}>x</option><input {{#if settings.prices}}checked{{/if}} >")]
    [InlineData("<style>:root{--a:{{settings.accent}};--b:{{settings.columns}} }.{{settings.mood}}{color:{{settings.accent}} }</style>")]
    [InlineData("<p style=\"color: {{settings.accent}}\" class=\"{{settings.mood}} {{#if settings.prices}}priced{{/if}}\">x</p>")]
    [InlineData("<script>let a = 1 < 2;</script><script src=\"{{asset \"css/store.css\"}}\"></script><title>{{shop.name}}</title>")]
    [InlineData("<p>{{multiline settings.tagline}}</p>")]
    [InlineData("<br/><!-- a comment --><svg viewBox=\"0 0 1 1\"><path d=\"M0 0\"/></svg>1 < 2")]
    public void What_the_language_has_is_taken(string source) => IssuesOf(source).ShouldBe("");

    [Theory]
    [InlineData("{{{shop.name}}}", "line 1: {{{ writes unescaped HTML")]
    [InlineData("\n\n{{{shop.name}}}", "line 3: {{{ writes unescaped HTML")]
    [InlineData("{{&shop.name}}", "{{& is not part of the template language")]
    [InlineData("{{& shop.name}}", "{{& is not part of the template language")]
    [InlineData("{{^products}}x{{/products}}", "{{^ is not part of the template language")]
    [InlineData("{{#products}}x{{/products}}", "{{#products}} is not a block")]
    [InlineData("{{#lookup shop name}}x{{/lookup}}", "is not a block")]
    [InlineData("{{#*inline \"a\"}}x{{/inline}}", "'*inline \"a\"' is not a path")]
    [InlineData("{{#> card}}x{{/card}}", "'> card' is not a path")]
    [InlineData("{{* decorator}}", "{{* is not part of the template language")]
    [InlineData("{{> (lookup . 'name')}}", "must be a partial's plain name")]
    [InlineData("{{> card this}}", "must be a partial's plain name")]
    [InlineData("{{> card a=b}}", "must be a partial's plain name")]
    [InlineData("{{> \"card\"}}", "must be a partial's plain name")]
    [InlineData("{{> ../card}}", "must be a partial's plain name")]
    [InlineData("{{> nowhere}}", "there is no partial 'nowhere' (partials/nowhere.hbs)")]
    [InlineData("{{lookup shop \"name\"}}", "there is no helper 'lookup'")]
    [InlineData("{{log shop.name}}", "there is no helper 'log'")]
    [InlineData("{{asset (eq 1 2)}}", "subexpressions are not part of the template language")]
    [InlineData("{{asset path=\"a\"}}", "'path=\"a\"' is not a path")]
    [InlineData("{{#each products as |p|}}x{{/each}}", "'|p|' is not a path")]
    [InlineData("{{#if products}}x", "{{#if products}} is never closed")]
    [InlineData("{{#if products}}x{{/each}}", "{{/each}} does not close {{#if products}} of line 1")]
    [InlineData("x{{/if}}", "{{/if}} stands in no block")]
    [InlineData("x{{else}}", "{{else}} stands in no block")]
    [InlineData("{{#if products}}a{{else}}b{{else}}c{{/if}}", "{{else}} comes after {{else}}")]
    [InlineData("{{#each products}}a{{else if shop.name}}b{{/each}}", "is not part of the template language")]
    [InlineData("{{shop.name", "{{ without }}")]
    [InlineData("{{}}", "{{}} is empty")]
    [InlineData("<style>:root{--a:{{settings.accent}}}</style>", "}}} can't be told from the end of unescaped HTML")]
    [InlineData("\\{{shop.name}}", "\\{{ is not part of the template language")]
    [InlineData("{{shop.[name]}}", "is not a path")]
    [InlineData("{{\"text\"}}", "is not a path or helper")]
    [InlineData("{{constructor}}", "there is no 'constructor' here")]
    public void What_the_language_does_not_have_is_refused(string source, string reason) => IssuesOf(source).ShouldContain(reason);

    [Theory]
    [InlineData("{{settings.taglin}}", "the template has no parameter 'taglin'")]
    [InlineData("{{shop.owner}}", "there is no 'owner' here (name, slug, url)")]
    [InlineData("{{name}}", "there is no 'name' here")]
    [InlineData("{{product.name}}", "a product is there only on pages that are made for each product")]
    [InlineData("{{shop}}", "has fields")]
    [InlineData("{{products}}", "has fields")]
    [InlineData("{{settings.prices}}", "is a boolean")]
    [InlineData("{{../shop.name}}", "leads out of the page's model")]
    [InlineData("{{@index}}", "there is no '@index' here")]
    [InlineData("{{#each shop}}x{{/each}}", "is no list")]
    [InlineData("{{#each \"a\"}}x{{/each}}", "stands where a path must be")]
    [InlineData("{{#with products}}x{{/with}}", "has no fields")]
    [InlineData("{{#if}}x{{/if}}", "takes 1 argument, not 0")]
    [InlineData("{{#eq year}}x{{/eq}}", "takes 2 arguments, not 1")]
    [InlineData("{{#eq shop 1}}x{{/eq}}", "is no single value")]
    [InlineData("{{#eq settings.mood \"sad\"}}x{{/eq}}", "'settings.mood' is never \"sad\"; its choices are calm, loud")]
    [InlineData("{{#each products}}{{#each ../products}}{{#each @root.products}}x{{/each}}{{/each}}{{/each}}", "{{#each}} is nested deeper than 2")]
    [InlineData("{{asset \"css/other.css\"}}", "there is no asset 'css/other.css' (assets/css/other.css)")]
    [InlineData("{{asset shop.name}}", "{{asset}} takes a path in quotes")]
    [InlineData("{{link \"about.html\"}}", "there is no page 'about.html'; 404.html, index.html are the pages")]
    [InlineData("{{url shop}}", "{{url}} takes a product")]
    [InlineData("{{multiline shop}}", "{{multiline}} takes a text")]
    public void A_path_or_argument_that_leads_nowhere_is_refused(string source, string reason) => IssuesOf(source).ShouldContain(reason);

    [Theory]
    [InlineData("<script>let a = \"{{shop.name}}\";</script>", "in <script>")]
    [InlineData("<SCRIPT>{{shop.name}}</SCRIPT>", "in <script>")]
    [InlineData("<script>{{#if products}}let a;{{/if}}</script>", "in <script>")]
    [InlineData("<script type=\"application/ld+json\">{\"name\": \"{{shop.name}}\"}</script>", "in <script>")]
    [InlineData("<script src=\"{{settings.site}}\"></script>", "which runs what it loads")]
    [InlineData("<iframe srcdoc=\"{{settings.tagline}}\"></iframe>", "in the attribute srcdoc of <iframe>")]
    [InlineData("<a onclick=\"f('{{shop.name}}')\">x</a>", "in the attribute onclick of <a>")]
    [InlineData("<a ONCLICK='{{shop.name}}'>x</a>", "in the attribute onclick of <a>")]
    [InlineData("<a on{{#if products}}click=\"{{shop.name}}\"{{/if}}>x</a>", "in the attribute onclick of <a>")]
    [InlineData("<a on{{#if products}}x{{/if}}click=\"{{shop.name}}\">x</a>", "must be a space")]
    [InlineData("<a title={{shop.name}}>x</a>", "without quotes")]
    [InlineData("<a title=x{{shop.name}}>x</a>", "without quotes")]
    [InlineData("<a {{shop.name}}>x</a>", "in the tag <a> outside of an attribute's quotes")]
    [InlineData("<a{{shop.name}}>x</a>", "in the tag <a>")]
    [InlineData("<{{shop.name}}>", "in the name of an element")]
    [InlineData("<!-- {{shop.name}} -->", "in an HTML comment")]
    [InlineData("<style>p { content: \"{{shop.name}}\" }</style>", "in <style>, where only")]
    [InlineData("<p style=\"color: {{settings.tagline}}\">x</p>", "in the attribute style of <p>, where only")]
    [InlineData("<a href=\"{{settings.tagline}}\">x</a>", "begins the address in the attribute href of <a>")]
    [InlineData("<a href=\" {{settings.tagline}}\">x</a>", "begins the address")]
    [InlineData("<a href=\"java{{settings.tagline}}\">x</a>", "begins the address")]
    [InlineData("<a href=\"&#106;avascript:{{settings.tagline}}\">x</a>", "begins the address")]
    [InlineData("<a href=\"{{settings.site}}{{settings.tagline}}\">x</a>", "begins the address")]
    [InlineData("<a href=\"{{#if products}}/{{/if}}{{settings.tagline}}\">x</a>", "begins the address")]
    [InlineData("<form action='{{settings.tagline}}'></form>", "begins the address in the attribute action of <form>")]
    [InlineData("<a href=\"javascript:f()\">x</a>", "must not be a script")]
    [InlineData("<p title=\"{{multiline settings.tagline}}\">x</p>", "writes <br> elements")]
    [InlineData("<p title=\"{{> card}}\">x</p>", "a partial can stand only in an element's content")]
    [InlineData("<p title=\"", "ends in the attribute title of <p>")]
    [InlineData("<!-- open", "ends in an HTML comment")]
    [InlineData("<style>p{}", "ends in <style>")]
    [InlineData("{{#if products}}<p title=\"{{/if}}x\">", "must end where it begins")]
    [InlineData("{{#if products}}<style>{{else}}<p>{{/if}}", "both must end in the same place")]
    public void A_mustache_where_text_could_become_code_is_refused(string source, string reason) => IssuesOf(source).ShouldContain(reason);

    [Fact]
    public void The_line_is_that_of_the_mustache() =>
        IssuesOf("<p>\n{{shop.name}}\n\n  {{shop.owner}}\n").ShouldStartWith("pages/index.hbs: line 4: ");

    [Fact]
    public void Partials_that_include_one_another_in_a_circle_are_refused() =>
        new TestBundle().With("partials/card.hbs", "{{> a}}").With("partials/a.hbs", "{{> b}}").With("partials/b.hbs", "{{#if products}}{{> card}}{{/if}}").Issues()
            .ShouldBe("partials/b.hbs: line 1: {{> card}} includes itself: partials/card.hbs → partials/a.hbs → partials/b.hbs → partials/card.hbs");

    [Fact]
    public void A_partial_that_includes_itself_is_refused() =>
        new TestBundle().With("partials/card.hbs", "{{> card}}").Issues().ShouldContain("{{> card}} includes itself");

    [Fact]
    public void A_partial_is_checked_as_it_is_seen_from_where_it_is_included() =>
        new TestBundle().WithIndex("{{#each products}}{{> card}}{{/each}}").With("partials/card.hbs", "{{name}} {{shop.name}}").Issues()
            .ShouldStartWith("partials/card.hbs: line 1: 'shop.name': there is no 'shop' here");

    [Fact]
    public void Loops_are_counted_through_partials() =>
        new TestBundle().WithIndex("{{#each products}}{{#each ../products}}{{> card}}{{/each}}{{/each}}").With("partials/card.hbs", "{{#each @root.products}}x{{/each}}").Issues()
            .ShouldContain("partials/card.hbs: line 1: {{#each}} is nested deeper than 2");

    [Fact]
    public void A_long_chain_of_partials_is_refused()
    {
        var bundle = new TestBundle().With("partials/card.hbs", "{{> p0}}");
        for (var i = 0; i < 20; i++)
            bundle.With($"partials/p{i}.hbs", i < 19 ? $"{{{{> p{i + 1}}}}}" : "end");

        bundle.Issues().ShouldContain("includes a chain of more than 16 partials");
    }

    [Fact]
    public void Deeply_nested_blocks_are_refused_and_do_not_overflow_the_stack()
    {
        var depth = 10_000;
        var source = string.Concat(Enumerable.Repeat("{{#if products}}", depth)) + string.Concat(Enumerable.Repeat("{{/if}}", depth));

        IssuesOf(source).ShouldContain("blocks are nested deeper than 32");
    }

    [Fact]
    public void Partials_included_in_exponentially_many_ways_are_refused_in_time()
    {
        var bundle = new TestBundle().With("partials/card.hbs", "{{> p0}}");
        for (var i = 0; i < 14; i++)
        {
            var next = i < 13 ? $"{{{{> p{i + 1}}}}}" : "end";
            bundle.With($"partials/p{i}.hbs", string.Concat(
                new[] { "shop", "page", "settings" }.Select(name => $"{{{{#with @root.{name}}}}}{next}{{{{/with}}}}")));
        }

        bundle.Issues().ShouldContain("included in too many different ways");
    }

    [Fact]
    public async Task Hostile_sources_take_no_more_than_linear_time_and_memory()
    {
        Func<int, string>[] sources =
        [
            n => "<" + new string('a', 250 * n) + ">",
            n => "<a " + new string('b', 250 * n) + ">",
            n => "<a href=\"" + string.Concat(Enumerable.Repeat("/{{year}}", 25 * n)) + "\">",
            n => "<style>" + string.Concat(Enumerable.Repeat("</styl", 40 * n)),
            n => string.Concat(Enumerable.Repeat("<!--", 60 * n)),
            n => "{{" + string.Concat(Enumerable.Repeat("a.", 120 * n)) + "}}",
            n => "{{#eq " + new string(' ', 250 * n) + "}}",
            n => string.Concat(Enumerable.Repeat("{{~year~}} ", 20 * n)),
            n => string.Concat(Enumerable.Repeat("{{!x}}", 40 * n)),
        ];

        var checking = Task.Run(() =>
        {
            foreach (var source in sources)
            {
                var (quarter, whole) = (AllocatedBy(source(250)), AllocatedBy(source(1000)));
                // Linear work allocates 4 times as much, 8 times if a list has just doubled; copying the rest of the source at each step 16 times.
                (whole / (double)quarter).ShouldBeLessThan(9, source(1));
            }
        });

        // Only ends work that is far more than quadratic.
        await checking.WaitAsync(TimeSpan.FromSeconds(60));

        static long AllocatedBy(string source)
        {
            var manifest = TemplateManifest.Read(System.Text.Encoding.UTF8.GetBytes(new TestBundle().Manifest.ToJsonString()), new TemplateIssues())!;
            var sources = new Dictionary<string, string> { ["pages/index.hbs"] = source, ["pages/product.hbs"] = "", ["pages/404.hbs"] = "" };
            var before = GC.GetAllocatedBytesForCurrentThread();
            TemplateLanguage.Check(manifest, sources, new HashSet<string>(), new TemplateIssues());
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Fact]
    public void A_source_that_is_too_long_is_refused() => IssuesOf(new string('a', 256 * 1024 + 1)).ShouldContain("is longer than 262144 characters");

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("<b a=\"x\" c='y'>&amp;`", "&lt;b a&#61;&quot;x&quot; c&#61;&#39;y&#39;&gt;&amp;amp;&#96;")]
    [InlineData("Ærø 🍰", "Ærø 🍰")]
    public void Whatever_has_a_meaning_in_html_is_escaped_and_nothing_else(string text, string expected)
    {
        using var output = new StringWriter();

        TemplateLanguage.Escape(text, output);

        output.ToString().ShouldBe(expected);
    }

    private static string IssuesOf(string index) => new TestBundle { Stored = true }.WithIndex(index).Issues();
}
