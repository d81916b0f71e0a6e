using System.Text.Json;
using Platform.Backend.Shops;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Tests.Shops;

public sealed class SettingsRulesTests
{
    private static readonly TemplateParameter[] Parameters =
    [
        Parameter("tagline", "text") with { MinLength = 3, MaxLength = 10 },
        Parameter("about", "multiline"),
        Parameter("accent", "color"),
        Parameter("link", "url"),
        Parameter("columns", "number") with { Min = 1, Max = 6, Step = 0.5m },
        Parameter("dark", "boolean"),
        Parameter("layout", "choice") with { Choices = [new("grid", "Grid"), new("list", "List")] },
    ];

    [Theory]
    [InlineData("tagline", "\"Ahoy <b>\"")]
    [InlineData("tagline", "\"\"")]
    [InlineData("about", "\"one\\r\\ntwo\\tthree\"")]
    [InlineData("about", "\"\"")]
    [InlineData("accent", "\"#0F766e\"")]
    [InlineData("link", "\"https://example.test/?a=b&c\"")]
    [InlineData("link", "\"/about\"")]
    [InlineData("link", "\"\"")]
    [InlineData("columns", "1")]
    [InlineData("columns", "2.5")]
    [InlineData("columns", "6.0")]
    [InlineData("dark", "false")]
    [InlineData("layout", "\"list\"")]
    public void A_value_within_its_parameters_limits_is_fine(string name, string json) => Errors(name, json).ShouldBeEmpty();

    [Theory]
    [InlineData("tagline", "\"ab\"")]
    [InlineData("tagline", "\"12345678901\"")]
    [InlineData("tagline", "\"one\\ntwo\"")]
    [InlineData("tagline", "\"abc\\u0007\"")]
    [InlineData("tagline", "\"abc\\ud800\"")]
    [InlineData("tagline", "12345")]
    [InlineData("tagline", "null")]
    [InlineData("about", "[\"x\"]")]
    [InlineData("accent", "\"red\"")]
    [InlineData("accent", "\"#0f766e;background:url(x)\"")]
    [InlineData("accent", "\"#0f766e\\n\"")]
    [InlineData("link", "\"javascript:alert(1)\"")]
    [InlineData("link", "\"//evil.test\"")]
    [InlineData("columns", "0.5")]
    [InlineData("columns", "6.5")]
    [InlineData("columns", "1.25")]
    [InlineData("columns", "\"2\"")]
    [InlineData("columns", "1e400")]
    [InlineData("dark", "\"true\"")]
    [InlineData("dark", "1")]
    [InlineData("layout", "\"Grid\"")]
    [InlineData("layout", "{}")]
    [InlineData("nonsense", "1")]
    public void Any_other_value_is_refused_by_name(string name, string json) => Errors(name, json).ShouldBe([$"settings.{name}"]);

    [Fact]
    public void A_required_parameter_without_default_must_be_given_and_not_be_empty()
    {
        TemplateParameter[] parameters =
        [
            Parameter("needed", "text") with { Required = true },
            Parameter("helped", "text") with { Required = true, Default = JsonSerializer.SerializeToElement("x") },
        ];

        Errors(parameters, "{}").ShouldBe(["settings.needed"]);
        Errors(parameters, """{"needed":" "}""").ShouldBe(["settings.needed"]);
        Errors(parameters, """{"needed":"y"}""").ShouldBeEmpty();
    }

    [Fact]
    public void A_type_that_a_newer_registry_knows_is_refused_with_a_sentence_and_not_with_a_crash() =>
        Errors([Parameter("font", "font")], """{"font":"x"}""").ShouldBe(["settings.font"]);

    private static TemplateParameter Parameter(string name, string type) => new() { Name = name, Type = type, Label = name };

    private static IReadOnlyList<string> Errors(string name, string json) => Errors(Parameters, $$"""{"{{name}}":{{json}}}""");

    private static IReadOnlyList<string> Errors(IReadOnlyList<TemplateParameter> parameters, string settings)
    {
        var errors = new ValidationErrors();
        SettingsRules.Check(errors, parameters, JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(settings)!);
        return [.. errors.ToDictionary().Keys];
    }
}
