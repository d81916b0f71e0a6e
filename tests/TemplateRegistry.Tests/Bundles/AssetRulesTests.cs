using System.Text;
using Platform.Templates;

namespace Platform.TemplateRegistry.Tests.Bundles;

public sealed class AssetRulesTests
{
    private const string Svg = "http://www.w3.org/2000/svg";

    [Theory]
    [InlineData("a.png", "89504E470D0A1A0A00")]
    [InlineData("a.jpg", "FFD8FFE000")]
    [InlineData("a.jpeg", "FFD8FFDB00")]
    [InlineData("a.gif", "474946383961")]
    [InlineData("a.webp", "52494646000000005745425056503820")]
    [InlineData("a.avif", "00000020667479706176696600")]
    [InlineData("a.avif", "00000020667479706176697300")]
    [InlineData("a.ico", "000001000100")]
    [InlineData("a.woff2", "774F463200010000")]
    public void A_file_whose_content_matches_its_extension_is_accepted(string path, string hex) =>
        AssetRules.Check("assets/" + path, Convert.FromHexString(hex)).ShouldBeNull();

    [Theory]
    [InlineData("a.png", "<script>")]
    [InlineData("a.jpg", "GIF89a")]
    [InlineData("a.webp", "RIFF")]
    [InlineData("a.webp", "RIFF1234WAVE")]
    [InlineData("a.avif", "")]
    [InlineData("a.ico", "<html>")]
    [InlineData("a.woff2", "wOFF")]
    [InlineData("a.css", "\0")]
    [InlineData("a.json", "{")]
    [InlineData("a.webmanifest", "no")]
    [InlineData("a.svg", "no")]
    [InlineData("a.svg", "<html xmlns='http://www.w3.org/1999/xhtml'/>")]
    [InlineData("a.svg", "<svg/>")]
    public void A_file_whose_content_does_not_match_its_extension_is_refused(string path, string content) =>
        AssetRules.Check("assets/" + path, Encoding.Latin1.GetBytes(content)).ShouldNotBeNull();

    [Theory]
    [InlineData("a.css", "a { color: red }")]
    [InlineData("a.js", "let a = 'ä';")]
    [InlineData("a.txt", "")]
    [InlineData("a.json", "[1]")]
    [InlineData("a.webmanifest", "{}")]
    [InlineData("a.svg", "<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><title>ok</title><a href='#x'><path d=''/></a></svg>")]
    public void Text_is_accepted(string path, string content) => AssetRules.Check("assets/" + path, Encoding.UTF8.GetBytes(content)).ShouldBeNull();

    [Theory]
    [InlineData("<script>alert(1)</script>", "<script>")]
    [InlineData("<SCRIPT>alert(1)</SCRIPT>", "<SCRIPT>")]
    [InlineData("<g xmlns:h='http://www.w3.org/1999/xhtml'><h:script/></g>", "<script>")]
    [InlineData("<foreignObject/>", "<foreignObject>")]
    [InlineData("<rect onclick='alert(1)'/>", "onclick")]
    [InlineData("<rect ONLOAD='alert(1)'/>", "ONLOAD")]
    [InlineData("<a href='javascript:alert(1)'/>", "href")]
    [InlineData("<a href=' java&#10;script:alert(1)'/>", "href")]
    [InlineData("<a href='&#106;avascript:alert(1)'/>", "href")]
    [InlineData("<set attributeName='href' to='javascript:alert(1)'/>", "to")]
    [InlineData("<a href='data:text/html,x'/>", "href")]
    [InlineData("<?xml-stylesheet href='x'?>", "processing instruction")]
    public void An_SVG_that_could_run_scripts_is_refused(string inside, string named) =>
        AssetRules.Check("assets/a.svg", Encoding.UTF8.GetBytes($"<svg xmlns='{Svg}'>{inside}</svg>")).ShouldNotBeNull().ShouldContain(named);

    [Fact]
    public void An_SVG_with_entities_is_refused() =>
        AssetRules.Check("assets/a.svg", Encoding.UTF8.GetBytes($"<!DOCTYPE svg [<!ENTITY a 'aaaa'>]><svg xmlns='{Svg}'>&a;</svg>")).ShouldNotBeNull();
}
