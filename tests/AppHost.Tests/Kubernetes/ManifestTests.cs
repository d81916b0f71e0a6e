using Platform.AppHost.Kubernetes;

namespace Platform.AppHost.Tests.Kubernetes;

public sealed class ManifestTests
{
    [Theory]
    [InlineData("9000"), InlineData("true"), InlineData("on"), InlineData("No"), InlineData("y"), InlineData("null"), InlineData("~"), InlineData("1e3"), InlineData("0x1F")]
    [InlineData("017"), InlineData("1_000"), InlineData("12:30:45"), InlineData("2024-01-31"), InlineData(".inf"), InlineData(""), InlineData(" a "), InlineData("a: b")]
    [InlineData("a #b"), InlineData("#a"), InlineData("*a"), InlineData("&a"), InlineData("!a"), InlineData("{a}"), InlineData("[a]"), InlineData("- a"), InlineData("? a")]
    [InlineData("'a'"), InlineData("\"a\""), InlineData("a:"), InlineData("%a"), InlineData("@a"), InlineData("`a"), InlineData("a\tb"), InlineData("a\\b"), InlineData("ä€😀")]
    [InlineData("two\nlines"), InlineData("two\nlines\n"), InlineData("---"), InlineData("..."), InlineData("=")]
    public void A_text_stays_the_text_that_it_is(string text)
    {
        Yaml.Documents(Manifest.Yaml(new { text })).Single()["text"]!.GetValue<string>().ShouldBe(text);
        Yaml.Documents(Manifest.Yaml(new Dictionary<string, object> { [text] = 1 })).Single().Single().Key.ShouldBe(text);
        Yaml.Documents($"text: {Manifest.Scalar(text.ReplaceLineEndings(" "))}").Single()["text"]!.GetValue<string>().ShouldBe(text.ReplaceLineEndings(" "));
    }

    [Theory]
    [InlineData("http://template-registry"), InlineData("docker.io/library/postgres:18.3"), InlineData("ReadWriteOnce"), InlineData("/alive")]
    public void What_needs_no_quotes_has_none(string text) => Manifest.Yaml(new { text }).ShouldBe($"text: {text}\n");
}
