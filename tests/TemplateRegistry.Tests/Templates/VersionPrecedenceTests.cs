using Platform.TemplateRegistry.Templates;

namespace Platform.TemplateRegistry.Tests.Templates;

public sealed class VersionPrecedenceTests
{
    [Fact]
    public void Versions_are_ordered_by_semantic_precedence_and_not_as_text()
    {
        string[] ascending = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0", "2.0.0"];

        ascending.Reverse().Order(VersionPrecedence.Comparer).ShouldBe(ascending);
    }

    [Theory]
    [InlineData("1.0.0 1.10.0 1.9.0", "1.10.0")]
    [InlineData("1.0.0 2.0.0-beta", "1.0.0")]
    [InlineData("2.0.0-alpha 2.0.0-beta", "2.0.0-beta")]
    [InlineData("1.0.0 2.0.0!", "1.0.0")]
    [InlineData("1.0.0 2.0.0~", "1.0.0")]
    [InlineData("1.0.0! 2.0.0-beta", "2.0.0-beta")]
    [InlineData("1.0.0!", null)]
    [InlineData("1.0.0~", null)]
    [InlineData("", null)]
    public void Latest_is_the_highest_published_release(string versions, string? expected) => VersionPrecedence.Latest(Parse(versions)).ShouldBe(expected);

    [Theory]
    [InlineData("1.0.0 2.0.0!", "1.0.0")]
    [InlineData("1.0.0! 2.0.0!", "2.0.0")]
    [InlineData("1.0.0! 2.0.0~", "1.0.0")]
    [InlineData("1.0.0~ 2.0.0~", null)]
    public void A_template_is_listed_with_its_latest_or_else_its_highest_deprecated_version(string versions, string? expected) =>
        VersionPrecedence.Listed(Parse(versions)).ShouldBe(expected);

    /// <summary>Parses versions; <c>!</c> means deprecated, <c>~</c> yanked.</summary>
    private static List<(string, TemplateStatus)> Parse(string versions) => [.. versions.Split(' ', StringSplitOptions.RemoveEmptyEntries)
        .Select(v => (v.TrimEnd('!', '~'), v[^1] switch { '!' => TemplateStatus.Deprecated, '~' => TemplateStatus.Yanked, _ => TemplateStatus.Published }))];
}
