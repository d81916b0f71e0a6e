using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Platform.ServiceDefaults;
using Platform.Templates;

namespace Platform.TemplateRegistry.Tests.Bundles;

public sealed class TemplateManifestTests
{
    [Theory]
    [InlineData("{", "is not valid JSON")]
    [InlineData("[]", "must be a JSON object")]
    [InlineData("""{"name":"a","name":"b"}""", "is not valid JSON")]
    [InlineData("{}", "name is required|version is required|title is required|pages must be an array that is not empty")]
    [InlineData("""{"name":"\ud800"}""", "not valid Unicode")]
    public void A_malformed_manifest_is_refused(string json, string reasons)
    {
        var issues = Read(json, out var manifest);

        manifest.ShouldBeNull();
        foreach (var reason in reasons.Split('|'))
            issues.ShouldContain(reason);
    }

    [Fact]
    public void Invalid_JSON_is_reported_with_its_line() => Read("{\n\"name\": tiny\n}", out _).ShouldStartWith("line 2: ");

    [Theory]
    [InlineData("name", "\"Tiny\"", "name must be 2 to 63")]
    [InlineData("name", "\"a\"", "name must be 2 to 63")]
    [InlineData("name", "\"tiny\\n\"", "name must not have control characters")]
    [InlineData("name", "7", "name must be a string")]
    [InlineData("version", "\"1.0\"", "version must be a semantic version")]
    [InlineData("version", "\"v1.0.0\"", "version must be a semantic version")]
    [InlineData("version", "\"01.0.0\"", "version must be a semantic version")]
    [InlineData("version", "\"1.0.0-\"", "version must be a semantic version")]
    [InlineData("version", "\"1.0.0-01\"", "version must be a semantic version")]
    [InlineData("version", "\"1.0.0+build\"", "version must be a semantic version")]
    [InlineData("version", "\"99999999999.0.0\"", "version must be a semantic version")]
    [InlineData("title", "\" \"", "title must not be empty")]
    [InlineData("author", "\"me\"", "author is not a field")]
    [InlineData("pages", "[]", "pages must be an array that is not empty")]
    [InlineData("pages", "[1]", "pages[0] must be an object")]
    [InlineData("pages", """[{"path":"index.html","template":"pages/index.liquid"}]""", "must have a page with the path 404.html")]
    public void An_invalid_field_is_reported_with_its_rule(string field, string value, string reason)
    {
        var bundle = new TestBundle();
        bundle.Manifest[field] = JsonNode.Parse(value);

        Read(bundle.Manifest.ToJsonString(), out _).ShouldContain(reason);
    }

    [Theory]
    [InlineData("1.0.0")]
    [InlineData("0.0.1-alpha.1")]
    [InlineData("10.20.30-x-y.7")]
    public void Semantic_versions_are_accepted(string version)
    {
        Read(new TestBundle(version: version).Manifest.ToJsonString(), out var manifest);

        manifest!.Version.ShouldBe(version);
    }

    [Theory]
    [InlineData("""{"type":"text","label":"A"}""", "parameters[0].name is required")]
    [InlineData("""{"name":"A","type":"text","label":"A"}""", "parameters[0].name must be 1 to 63 letters")]
    [InlineData("""{"name":"a","type":"date","label":"A"}""", "parameters[0].type must be one of text, multiline, color, url, number, boolean, choice")]
    [InlineData("""{"name":"a","type":"text"}""", "parameters[0].label is required")]
    [InlineData("""{"name":"a","type":"text","label":"A","min":1}""", "parameters[0].min does not go with the type text")]
    [InlineData("""{"name":"a","type":"number","label":"A","default":1,"maxLength":1}""", "parameters[0].maxLength does not go with the type number")]
    [InlineData("""{"name":"a","type":"text","label":"A","maxLength":1000}""", "parameters[0].maxLength must be a whole number from 0 to 200")]
    [InlineData("""{"name":"a","type":"text","label":"A","minLength":5,"maxLength":4}""", "parameters[0].minLength must not be above maxLength")]
    [InlineData("""{"name":"a","type":"text","label":"A","maxLength":3,"default":"four"}""", "parameters[0].default must have at most 3 characters")]
    [InlineData("""{"name":"a","type":"number","label":"A","min":2,"max":1}""", "parameters[0].min must not be above max")]
    [InlineData("""{"name":"a","type":"number","label":"A","step":0}""", "parameters[0].step must be above 0")]
    [InlineData("""{"name":"a","type":"number","label":"A"}""", "parameters[0].default is needed for a number")]
    [InlineData("""{"name":"a","type":"color","label":"A"}""", "parameters[0].default is needed for a color")]
    [InlineData("""{"name":"a","type":"color","label":"A","default":"red"}""", "parameters[0].default must be a colour")]
    [InlineData("""{"name":"a","type":"url","label":"A","default":"javascript:alert(1)"}""", "parameters[0].default must be an http or https address")]
    [InlineData("""{"name":"a","type":"choice","label":"A","default":"x"}""", "parameters[0].choices must be an array that is not empty")]
    [InlineData("""{"name":"a","type":"choice","label":"A","default":"z","choices":[{"value":"x","label":"X"}]}""", "parameters[0].default must be one of x")]
    [InlineData("""{"name":"a","type":"choice","label":"A","default":"x","choices":[{"value":"x","label":"X"},{"value":"x","label":"X"}]}""", "has 'x' twice")]
    [InlineData("""{"name":"a","type":"choice","label":"A","choices":[{"value":"x;}","label":"X"}]}""", "may appear in CSS")]
    [InlineData("""{"name":"a","type":"choice","label":"A","choices":[{"value":"x","lable":"X"}]}""", "parameters[0].choices[0].lable is not a field")]
    [InlineData("""{"name":"a","type":"boolean","label":"A","default":"yes"}""", "parameters[0].default must be true or false")]
    [InlineData("""{"name":"a","type":"boolean","label":"A","required":"yes"}""", "parameters[0].required must be true or false")]
    public void An_invalid_parameter_is_reported_with_its_rule(string parameter, string reason)
    {
        var bundle = new TestBundle();
        bundle.Manifest["parameters"] = new JsonArray(JsonNode.Parse(parameter));

        Read(bundle.Manifest.ToJsonString(), out _).ShouldContain(reason);
    }

    [Fact]
    public void A_duplicate_parameter_is_refused()
    {
        var bundle = new TestBundle();
        bundle.Manifest["parameters"]!.AsArray().Add(JsonNode.Parse("""{"name":"tagline","type":"text","label":"Again"}"""));

        Read(bundle.Manifest.ToJsonString(), out _).ShouldBe("parameters has 'tagline' twice");
    }

    [Theory]
    [InlineData("../index.html", null, "path must be a relative path")]
    [InlineData("/index.html", null, "path must be a relative path")]
    [InlineData("a//b.html", null, "path must be a relative path")]
    [InlineData(".hidden.html", null, "path must be a relative path")]
    [InlineData("feed.xml", null, "path must be a relative path")]
    [InlineData("_assets/a.html", null, "must not be in _assets/")]
    [InlineData("p/{slug}.html", null, "can have {slug} only together with")]
    [InlineData("p/index.html", "products", "must have {slug} once")]
    [InlineData("{slug}/{slug}.html", "products", "must have {slug} once")]
    [InlineData("p/{slug}.html", "shops", "forEach must be \"products\"")]
    [InlineData("INDEX.html", null, "has the path index.html twice")]
    [InlineData("products/sale/index.html", null, "could be the page of a product or collection as well")]
    public void A_page_with_an_invalid_path_is_refused(string path, string? forEach, string reason)
    {
        var bundle = new TestBundle();
        var page = new JsonObject { ["path"] = path, ["template"] = "pages/index.liquid" };
        if (forEach is not null)
            page["forEach"] = forEach;
        bundle.Manifest["pages"]!.AsArray().Add(page);

        Read(bundle.Manifest.ToJsonString(), out _).ShouldContain(reason);
    }

    [Theory]
    [InlineData("tagline", "\"ok\"", null)]
    [InlineData("tagline", "\"\"", null)]
    [InlineData("tagline", "\"a\\nb\"", "must be one line without control characters")]
    [InlineData("tagline", "1", "must be a string")]
    [InlineData("accent", "\"#abCDef\"", null)]
    [InlineData("accent", "\"#abc\"", "must be a colour such as #0f766e")]
    [InlineData("accent", "\"\"", "must be a colour such as #0f766e")]
    [InlineData("accent", "\"#123456;}\"", "must be a colour such as #0f766e")]
    [InlineData("site", "\"https://example.org/a?b=c#d\"", null)]
    [InlineData("site", "\"/local\"", null)]
    [InlineData("site", "\"\"", null)]
    [InlineData("site", "\"//evil.example\"", "must be an http or https address")]
    [InlineData("site", "\"javascript:alert(1)\"", "must be an http or https address")]
    [InlineData("site", "\"https://\"", "must be an http or https address")]
    [InlineData("site", "\"https://a/ b\"", "must be an http or https address")]
    [InlineData("site", "\"https://a/\\\"onload=\"", "must be an http or https address")]
    [InlineData("columns", "4", null)]
    [InlineData("columns", "0", "must be at least 1")]
    [InlineData("columns", "5", "must be at most 4")]
    [InlineData("columns", "1.5", "must be in steps of 1 from 1")]
    [InlineData("columns", "\"2\"", "must be a number")]
    [InlineData("columns", "1e999", "must be a number")]
    [InlineData("prices", "false", null)]
    [InlineData("prices", "\"false\"", "must be true or false")]
    [InlineData("mood", "\"loud\"", null)]
    [InlineData("mood", "\"sad\"", "must be one of calm, loud")]
    public void Merchants_values_are_checked_against_their_parameters(string name, string value, string? rule)
    {
        Read(new TestBundle().Manifest.ToJsonString(), out var manifest);

        var found = manifest!.Parameters.Single(p => p.Name == name).Check(JsonDocument.Parse(value).RootElement);

        if (rule is null)
            found.ShouldBeNull();
        else
            found.ShouldNotBeNull().ShouldStartWith(rule);
    }

    [Fact]
    public void A_required_text_must_not_be_empty()
    {
        var bundle = new TestBundle();
        bundle.Manifest["parameters"] = new JsonArray(JsonNode.Parse("""{"name":"a","type":"text","label":"A","required":true}"""));
        Read(bundle.Manifest.ToJsonString(), out var manifest);

        manifest!.Parameters[0].Check(JsonDocument.Parse("\"\"").RootElement).ShouldBe("is required");
    }

    [Fact]
    public void Parameters_are_serialised_as_in_the_manifest()
    {
        var bundle = new TestBundle();
        Read(bundle.Manifest.ToJsonString(), out var manifest);

        var json = JsonSerializer.SerializeToNode(manifest!.Parameters, PlatformJson.Tolerant)!.AsArray();
        foreach (var parameter in json)
            parameter!.AsObject().Remove("required");

        JsonNode.DeepEquals(json, bundle.Manifest["parameters"]).ShouldBeTrue(json.ToJsonString());
    }

    private static string Read(string json, out TemplateManifest? manifest)
    {
        var issues = new TemplateIssues();
        manifest = TemplateManifest.Read(Encoding.UTF8.GetBytes(json), issues);
        issues.Items.ShouldAllBe(i => i.Entry == "template.json");
        (manifest is null).ShouldBe(issues.Any);
        return string.Join("\n", issues.Items);
    }
}
