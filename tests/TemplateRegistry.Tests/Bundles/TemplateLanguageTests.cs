using System.Text;
using Platform.Templates;

namespace Platform.TemplateRegistry.Tests.Bundles;

public sealed class TemplateLanguageTests
{
    [Theory]
    [InlineData("{{ shop.name }} {{ settings.tagline }} {{ 'now' | date: '%Y' }} {{ page.path }}")]
    [InlineData("{% comment %} a comment with {{ in it {% endcomment %}{% # another %}{% raw %}{{ shown }}{% endraw %}")]
    [InlineData("{% if products.size > 0 %}yes{% else %}no{% endif %}")]
    [InlineData("{% if settings.prices and settings.tagline %}a{% elsif settings.tagline %}b{% else %}c{% endif %}")]
    [InlineData("{% unless settings.prices %}free{% endunless %}")]
    [InlineData("{% for product in products limit: 4 %}{{ forloop.index }}{% if forloop.first %}!{% endif %}{{ product.title }}{% else %}none{% endfor %}")]
    [InlineData("{% for product in products reversed %}{% if product.sku == 'x' %}{% continue %}{% endif %}{{ product.title }}{% break %}{% endfor %}")]
    [InlineData("{% case settings.mood %}{% when 'calm' %}a{% when 'loud' %}b{% else %}c{% endcase %}")]
    [InlineData("{% if product %}{{ product.title }}{% endif %}")]
    [InlineData("{% assign first = products | sort: 'price' | first %}{{ first.title | upcase | truncate: 20 }}")]
    [InlineData("{% assign names = products | map: 'title' | join: ', ' %}{{ names }}")]
    [InlineData("{% assign sale = products | where: 'available', true %}{% for p in sale %}{{ p.price | money }}{% endfor %}")]
    [InlineData("{% capture html %}<b>{{ shop.name }}</b>{% endcapture %}{{ html }}")]
    [InlineData("{% liquid\nassign x = 1\nif x == 1\n  echo shop.name\nendif %}")]
    [InlineData("{% for i in (1..5) %}{% cycle 'a', 'b' %}{{ i | plus: 1 }}{% endfor %}")]
    [InlineData("{% paginate products by 12 %}{% for product in products %}x{% endfor %}{% if paginate.next %}<a href=\"{{ paginate.next.url }}\">next</a>{% endif %}{% endpaginate %}")]
    [InlineData("{% render 'card', product: products.first %}{% render 'card' for products as product %}")]
    [InlineData("{% assign summer = collections['summer'] %}{% for product in summer.products %}{{ product.title }}{% endfor %}{{ collections.winter.title }}")]
    [InlineData("a {%- if products.size > 0 -%} b {%- endif -%} c {{- shop.name -}}")]
    [InlineData("<a href=\"{{ settings.site }}\" title='{{ settings.tagline }}'>x</a>")]
    [InlineData("<a href=\"mailto:{{ settings.tagline }}\">x</a><a href=\"https://example.org/?q={{ settings.tagline | url_encode }}\">x</a>")]
    [InlineData("<a href=\"{{ routes.root_url }}about/\">x</a><a href=\"{{ 'index.html' | page_url }}#x\">x</a><img src='{{ 'css/store.css' | asset_url }}'>")]
    [InlineData("<a href=\"{% if settings.site %}{{ settings.site }}{% else %}{{ shop.url }}{% endif %}\">x</a>")]
    [InlineData("<img src=\"{{ settings.site | default: '/none.png' }}\" srcset=\"{{ products.first.featured_image | image_url: width: 480 }} 480w\" alt=\"\">")]
    [InlineData("<option value=\"a\"{% if settings.mood == 'calm' %} selected{% endif %}>x</option><input {% if settings.prices %}checked{% endif %} >")]
    [InlineData("<style>:root{--a:{{ settings.accent }};--b:{{ settings.columns }} }.{{ settings.mood }}{color:{{settings.accent}}}</style>")]
    [InlineData("<p style=\"color: {{ settings.accent }}\" class=\"{{ settings.mood }} {% if settings.prices %}priced{% endif %}\" data-on=\"{{ settings.prices }}\">x</p>")]
    [InlineData("<script>let a = 1 < 2;</script><script src=\"{{ 'css/store.css' | asset_url }}\"></script><title>{{ shop.name }}</title>")]
    [InlineData("<script type=\"application/ld+json\">{\"name\": {{ shop.name | json }}, \"n\": {{ products.size }}}</script>")]
    [InlineData("<script type=\"application/ld+json\">{{ products.first | structured_data }}</script><p data-p=\"{{ products.first | json | escape }}\"></p>")]
    [InlineData("{% if products.size > 0 %}<script type=\"application/ld+json\">{{ products.first | structured_data }}</script>{% endif %}<p>x</p>")]
    [InlineData("<p>{{ settings.tagline | newline_to_br }}</p>")]
    [InlineData("<html lang=\"{{ shop.locale }}\" dir=\"{{ shop.text_direction }}\"></html>")]
    [InlineData("<br/><!-- a comment --><svg viewBox=\"0 0 1 1\"><path d=\"M0 0\"/></svg>1 < 2")]
    public void Valid_sources_are_accepted(string source) => IssuesOf(source).ShouldBe("");

    [Theory]
    [InlineData("{{ shop.name | raw }}", "line 1: there is no filter 'raw'")]
    [InlineData("\n\n{{ shop.name | raw }}", "line 3: there is no filter 'raw'")]
    [InlineData("{% include 'card' %}", "{% include %} is not a tag of templates; use {% render %}")]
    [InlineData("{% if products %}{% include 'card' %}{% endif %}", "{% include %} is not a tag of templates")]
    [InlineData("{% tablerow p in products %}x{% endtablerow %}", "{% tablerow %} is not a tag of templates")]
    [InlineData("{% increment x %}", "{% increment %} is not a tag of templates")]
    [InlineData("{% render 'nowhere' %}", "there is no partial 'nowhere' (partials/nowhere.liquid)")]
    [InlineData("{% render nowhere %}", "line 1: ")]
    [InlineData("{% if products %}x", "line 1: ")]
    [InlineData("<p>\n{% if products %}\nx", "line 3: ")]
    [InlineData("{% if products %}x{% endfor %}", "line 1: ")]
    [InlineData("x{% endif %}", "Unknown tag 'endif'")]
    [InlineData("{% nonsense %}", "Unknown tag 'nonsense'")]
    [InlineData("{{ shop.name", "line 1: ")]
    [InlineData("{{ shop.name | }}", "line 1: ")]
    [InlineData("{{ }}", "line 1: ")]
    [InlineData("{{ shop['name'] }}", "can't be indexed")]
    [InlineData("{{ settings.tagline == 'x' }}", "a comparison is no value")]
    [InlineData("{{ products == 1 }}", "a comparison is no value")]
    [InlineData("<style>{{ settings.tagline or settings.accent }}</style>", "a comparison is no value")]
    [InlineData("{% assign x = settings.tagline == 'x' %}", "a comparison is no value")]
    [InlineData("{{ settings.tagline == 'x' | default: 1 }}", "a comparison is no value")]
    [InlineData("{{ constructor }}", "there is no 'constructor' here")]
    [InlineData("{% break %}", "stand in no loop")]
    public void Invalid_syntax_is_refused(string source, string reason) => IssuesOf(source).ShouldContain(reason);

    [Theory]
    [InlineData("{{ settings.taglin }}", "the template has no parameter 'taglin'")]
    [InlineData("{{ shop.owner }}", "'shop' has no 'owner' (currency, locale, name, slug, text_direction, url)")]
    [InlineData("{{ name }}", "there is no 'name' here")]
    [InlineData("{{ product.title }}", "a product is there only on pages that are made for each product")]
    [InlineData("{{ collection.title }}", "a collection is there only on pages that are made for each collection")]
    [InlineData("{{ shop }}", "an object can't be written as text")]
    [InlineData("{{ products }}", "a list can't be written as text")]
    [InlineData("{{ 'a,b' | split: ',' }}", "a list can't be written as text")]
    [InlineData("{{ (1..5) }}", "a list can't be written as text")]
    [InlineData("{% for x in shop %}x{% endfor %}", "goes through a list")]
    [InlineData("{% for x in shop.name %}x{% endfor %}", "goes through a list")]
    [InlineData("{% for i in (1..100000) %}x{% endfor %}", "a range goes from and to numbers of at most 1000")]
    [InlineData("{% for i in (1..products.size) %}x{% endfor %}", "a range goes from and to numbers of at most 1000")]
    [InlineData("{% for p in products limit: shop.name %}x{% endfor %}", "limit and offset of {% for %} are numbers")]
    [InlineData("{% if settings.mood == 'sad' %}x{% endif %}", "the setting mood is never 'sad'; its choices are calm, loud")]
    [InlineData("{% case settings.mood %}{% when 'sad' %}x{% endcase %}", "the setting mood is never 'sad'")]
    [InlineData("{{ 'css/other.css' | asset_url }}", "there is no asset 'css/other.css' (assets/css/other.css)")]
    [InlineData("{{ shop.name | asset_url }}", "'asset_url' takes a path in quotes")]
    [InlineData("{{ 'about.html' | page_url }}", "there is no page 'about.html'; 404.html, index.html are the pages")]
    [InlineData("{{ shop.name | image_url: width: 480 }}", "'image_url' takes an image")]
    [InlineData("{{ products | map: 'nothing' | join }}", "'map' takes the name of a field in quotes")]
    [InlineData("{{ products | where: shop.name | size }}", "'where' takes the name of a field in quotes")]
    [InlineData("{{ shop | upcase }}", "'upcase' takes single values")]
    [InlineData("{{ shop | default: products }}", "'default' takes a value of the same kind")]
    [InlineData("{% assign shop = 1 %}", "'shop' is the name of an object")]
    [InlineData("{% for p in products %}{% assign p = 1 %}{% endfor %}", "'p' is the name of a loop's variable")]
    [InlineData("{% assign x = shop %}{% assign x = products %}", "'x' is assigned values of different kinds")]
    [InlineData("{% render 'card', product: shop %}", "'product' must be an object of the kind product in a partial too")]
    [InlineData("{% render 'card' for shop %}", "takes a list")]
    [InlineData("{% paginate shop by 3 %}x{% endpaginate %}", "takes a list")]
    [InlineData("{% paginate products by shop.name %}x{% endpaginate %}", "takes a number")]
    [InlineData("{% for i in (1..3) %}{% paginate products by 3 %}x{% endpaginate %}{% endfor %}", "can stand once in a page")]
    [InlineData("{% paginate products by 3 %}x{% endpaginate %}{% paginate products by 3 %}x{% endpaginate %}", "can stand once in a page")]
    public void Names_and_arguments_are_checked(string source, string reason) => IssuesOf(source).ShouldContain(reason);

    [Theory]
    [InlineData("<script>let a = \"{{ shop.name }}\";</script>", "in <script>")]
    [InlineData("<SCRIPT>{{ shop.name }}</SCRIPT>", "in <script>")]
    [InlineData("<script>let a = {{ shop.name | json }};</script>", "in <script>")]
    [InlineData("<script>{% if products.size > 0 %}let a;{% endif %}</script>", "in <script>")]
    [InlineData("<script type=\"application/ld+json\">{\"name\": \"{{ shop.name }}\"}</script>", "must end with the filter json")]
    [InlineData("<script type=\"text/javascript\" type=\"application/ld+json\">{{ shop.name | json }}</script>", "in <script>")]
    [InlineData("<script type=\"{{ settings.mood }}\"></script>", "must be the template's own text")]
    [InlineData("<script type=\"{% if products.size > 0 %}application/ld+json{% endif %}\">{{ shop.name | json }}</script>", "where no tag may be")]
    [InlineData("<script {% if products.size > 0 %}type=\"application/ld+json\"{% endif %}>{{ shop.name | json }}</script>", "in <script>")]
    [InlineData("<script src=\"{{ settings.site }}\"></script>", "which runs what it loads")]
    [InlineData("<iframe srcdoc=\"{{ settings.tagline }}\"></iframe>", "in the attribute srcdoc of <iframe>")]
    [InlineData("<a onclick=\"f('{{ shop.name }}')\">x</a>", "in the attribute onclick of <a>")]
    [InlineData("<a ONCLICK='{{ shop.name }}'>x</a>", "in the attribute onclick of <a>")]
    [InlineData("<a on{% if products.size > 0 %}click=\"{{ shop.name }}\"{% endif %}>x</a>", "in the attribute onclick of <a>")]
    [InlineData("<a on{% if products.size > 0 %}x{% endif %}click=\"{{ shop.name }}\">x</a>", "must be a space")]
    [InlineData("<a {% for i in (1..2) %}{% if forloop.first %}o{% else %}nload=\"{{ shop.name }}\"{% endif %}{% endfor %}>x</a>", "must be a space")]
    [InlineData("<a {%- if products.size > 0 -%} title=\"x\"{% endif %}>x</a>", "branches must end in the same place")]
    [InlineData("<a title={{ shop.name }}>x</a>", "without quotes")]
    [InlineData("<a title=x{{ shop.name }}>x</a>", "without quotes")]
    [InlineData("<a {{ shop.name }}>x</a>", "in the tag <a> outside of an attribute's quotes")]
    [InlineData("<a{{ shop.name }}>x</a>", "in the tag <a>")]
    [InlineData("<{{ shop.name }}>", "in the name of an element")]
    [InlineData("<!-- {{ shop.name }} -->", "in an HTML comment")]
    [InlineData("<style>p { content: \"{{ shop.name }}\" }</style>", "in <style>, where only")]
    [InlineData("<p style=\"color: {{ settings.tagline }}\">x</p>", "in the attribute style of <p>, where only")]
    [InlineData("{% assign c = settings.accent %}{% for p in products %}<p style=\"color: {{ c }}\"></p>{% assign c = p.title %}{% endfor %}", "in the attribute style of <p>, where only")]
    [InlineData("<a href=\"{{ settings.tagline }}\">x</a>", "begins the address in the attribute href of <a>")]
    [InlineData("<a href=\" {{ settings.tagline }}\">x</a>", "begins the address")]
    [InlineData("<a href=\"java{{ settings.tagline }}\">x</a>", "begins the address")]
    [InlineData("<a href=\"&#106;avascript:{{ settings.tagline }}\">x</a>", "begins the address")]
    [InlineData("<a href=\"{{ settings.site }}{{ settings.tagline }}\">x</a>", "begins the address")]
    [InlineData("<a href=\"{{ settings.site | append: settings.tagline }}\">x</a>", "begins the address")]
    [InlineData("<a href=\"{{ settings.site | upcase }}\">x</a>", "begins the address")]
    [InlineData("<a href=\"{{ 'javascript:alert(1)' }}\">x</a>", "begins the address")]
    [InlineData("<a href=\"{% if products.size > 0 %}/{% endif %}{{ settings.tagline }}\">x</a>", "begins the address")]
    [InlineData("{% assign u = settings.site %}{% assign u = settings.tagline %}<a href=\"{{ u }}\">x</a>", "begins the address")]
    [InlineData("<form action='{{ settings.tagline }}'></form>", "begins the address in the attribute action of <form>")]
    [InlineData("<a href=\"javascript:f()\">x</a>", "must not be a script")]
    [InlineData("<p title=\"{{ settings.tagline | newline_to_br }}\">x</p>", "but is HTML")]
    [InlineData("<p title=\"{{ settings.tagline | json }}\">x</p>", "but is JSON")]
    [InlineData("{% capture html %}<b>{{ shop.name }}</b>{% endcapture %}<p title=\"{{ html }}\">x</p>", "but is HTML")]
    [InlineData("{% capture html %}<b>{{ shop.name }}</b>{% endcapture %}{{ html | append: 'x' }}", "can't follow HTML")]
    [InlineData("{% capture html %}<b title=\"{% endcapture %}{{ html }}", "must end in an element's content")]
    [InlineData("<p title=\"{% render 'card' %}\">x</p>", "a partial can stand only in an element's content")]
    [InlineData("<p title=\"", "ends in the attribute title of <p>")]
    [InlineData("<!-- open", "ends in an HTML comment")]
    [InlineData("<style>p{}", "ends in <style>")]
    [InlineData("{% if products.size > 0 %}<p title=\"{% endif %}x\">", "branches must end in the same place")]
    [InlineData("{% if products.size > 0 %}<style>{% else %}<p>{% endif %}", "branches must end in the same place")]
    [InlineData("{% for p in products %}<p title=\"{% break %}\">{% endfor %}", "must be left where it begins")]
    [InlineData("{% case shop.name %}{% when 'a' %}<p title=\"{% endcase %}", "branches must end in the same place")]
    [InlineData("{% case shop.name %}{% when 'a' %}<p title=\"{% when 'a' %}<p title=\"{% else %}<p title=\"{% endcase %}\">", "branches must end in the same place")]
    [InlineData("{% raw %}<p title=\"{% endraw %}", "ends in the attribute title of <p>")]
    public void An_output_where_text_could_become_code_is_refused(string source, string reason) => IssuesOf(source).ShouldContain(reason);

    [Fact]
    public void An_issue_has_the_line_of_the_output() =>
        IssuesOf("<p>\n{{ shop.name }}\n\n  {{ shop.owner }}\n").ShouldStartWith("pages/index.liquid: line 4: ");

    [Fact]
    public void An_issue_has_the_line_of_the_operand_in_a_condition() =>
        IssuesOf("<p>\n{% if shop.name == 'x'\n  and settings.nothing %}x{% endif %}").ShouldStartWith("pages/index.liquid: line 3: ");

    [Fact]
    public void Partials_that_render_one_another_in_a_circle_are_refused() =>
        new TestBundle().With("partials/card.liquid", "{% render 'a' %}").With("partials/a.liquid", "{% render 'b' %}")
            .With("partials/b.liquid", "{% if products.size > 0 %}{% render 'card' %}{% endif %}").Issues()
            .ShouldBe("partials/b.liquid: line 1: {% render 'card' %} renders itself: partials/card.liquid → partials/a.liquid → partials/b.liquid → partials/card.liquid");

    [Fact]
    public void A_partial_that_renders_itself_is_refused() =>
        new TestBundle().With("partials/card.liquid", "{% render 'card' %}").Issues().ShouldContain("{% render 'card' %} renders itself");

    [Fact]
    public void A_partial_can_be_in_a_folder() =>
        new TestBundle().WithIndex("{% render 'cards/product', product: products.first %}").With("partials/cards/product.liquid", "{{ product.title }}").Issues().ShouldBe("");

    [Fact]
    public void A_partial_sees_its_arguments_and_not_the_variables_around_it() =>
        new TestBundle().WithIndex("{% assign x = 1 %}{% assign y = 2 %}{% render 'card', x: x %}").With("partials/card.liquid", "{{ x }}{{ y }}").Issues()
            .ShouldStartWith("partials/card.liquid: line 1: there is no 'y' here");

    [Fact]
    public void A_partial_is_checked_for_the_types_that_it_is_given() =>
        new TestBundle().WithIndex("{% render 'card', x: settings.accent %}{% render 'card', x: settings.tagline %}").With("partials/card.liquid", "<p style=\"color: {{ x }}\"></p>").Issues()
            .ShouldStartWith("partials/card.liquid: line 1: an output stands in the attribute style");

    [Fact]
    public void A_long_chain_of_partials_is_refused()
    {
        var bundle = new TestBundle().With("partials/card.liquid", "{% render 'p0' %}");
        for (var i = 0; i < 20; i++)
            bundle.With($"partials/p{i}.liquid", i < 19 ? $"{{% render 'p{i + 1}' %}}" : "end");

        bundle.Issues().ShouldContain("begins a chain of more than 16 partials");
    }

    [Theory]
    [InlineData("{% if products %}", "{% endif %}", "nested too deep")]
    [InlineData("{% for p in products %}", "{% endfor %}", "nested too deep")]
    [InlineData("{% capture x %}", "{% endcapture %}", "nested too deep")]
    [InlineData("{{ shop[", "]}}", "nested too deep")]
    public void Deep_nesting_is_refused_and_does_not_overflow_the_stack(string open, string close, string reason)
    {
        const int Depth = 5_000;
        var opening = open.EndsWith('[') ? "{{ shop" + Repeat("[shop", Depth) : Repeat(open, Depth);
        var closing = open.EndsWith('[') ? Repeat("]", Depth) + "}}" : Repeat(close, Depth);

        IssuesOf(opening + closing).ShouldContain(reason);
    }

    [Theory]
    [InlineData("{{ shop.name", " | upcase", " }}")]
    [InlineData("{% if shop.name", " and shop.name", " %}x{% endif %}")]
    public void Long_expressions_are_refused_and_do_not_overflow_the_stack(string start, string repeated, string end) =>
        IssuesOf(start + Repeat(repeated, 5_000) + end).ShouldContain("too many operators or filters");

    [Fact]
    public void Partials_rendered_in_exponentially_many_ways_are_refused_in_time()
    {
        var bundle = new TestBundle().With("partials/card.liquid", "{% render 'p0' %}");
        for (var i = 0; i < 14; i++)
        {
            bundle.With($"partials/p{i}.liquid", string.Concat(new[] { "shop", "page", "settings" }.Select(name =>
                i == 13 ? "end" : $"{{% render 'p{i + 1}', v{i}: {name}{string.Concat(Enumerable.Range(0, i).Select(n => $", v{n}: v{n}"))} %}}")));
        }

        bundle.Issues().ShouldContain("rendered in too many different ways");
    }

    [Fact]
    public async Task Hostile_sources_take_no_more_than_linear_time_and_memory()
    {
        Func<int, string>[] sources =
        [
            n => "<" + new string('a', 250 * n) + ">",
            n => "<a " + new string('b', 250 * n) + ">",
            n => "<a href=\"" + Repeat("/{{ products.size }}", 12 * n) + "\">",
            n => "<style>" + Repeat("</styl", 40 * n),
            n => Repeat("<!--", 60 * n),
            n => "{{ " + Repeat("a.", 120 * n) + " }}",
            n => "{% if " + new string(' ', 250 * n) + "%}",
            n => Repeat("{{- products.size -}} ", 10 * n),
            n => Repeat("{% # x %}", 25 * n),
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
            var manifest = TemplateManifest.Read(Encoding.UTF8.GetBytes(new TestBundle().Manifest.ToJsonString()), new TemplateIssues())!;
            var sources = new Dictionary<string, string> { ["pages/index.liquid"] = source, ["pages/product.liquid"] = "", ["pages/404.liquid"] = "" };
            var parser = new TemplateParser();
            var before = GC.GetAllocatedBytesForCurrentThread();
            TemplateLanguage.Check(manifest, sources, new HashSet<string>(), parser, new TemplateIssues());
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Fact]
    public void A_source_that_is_too_long_is_refused() => IssuesOf(new string('a', 256 * 1024 + 1)).ShouldContain("is longer than 262144 characters");

    private static string Repeat(string text, int times) => new StringBuilder().Insert(0, text, times).ToString();

    private static string IssuesOf(string index) => new TestBundle { Stored = true }.WithIndex(index).Issues();
}
