using Platform.ServiceDefaults.Postgres.Idempotency;

namespace Platform.ServiceDefaults.Postgres.Tests.Idempotency;

public sealed class IdempotencyKeyTests
{
    [Theory]
    [InlineData("abc", "abc")]
    [InlineData("\"abc\"", "abc")]
    [InlineData("  \"abc\"  ", "abc")]
    [InlineData("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324")]
    [InlineData("\"a\\\"b\\\\c\"", "a\"b\\c")]
    public void The_quoted_and_the_bare_form_are_understood(string header, string expected)
    {
        IdempotencyKey.TryParse(header, out var key).ShouldBeTrue();
        key.ShouldBe(expected);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\"\"")]
    [InlineData("\"abc")]
    [InlineData("abc\"")]
    [InlineData("\"a\"b\"")]
    [InlineData("a b")]
    [InlineData("a,b")]
    [InlineData("\"a\\n\"")]
    [InlineData("é")]
    [InlineData(null)]
    public void Anything_else_is_malformed(string? header) => IdempotencyKey.TryParse(header, out _).ShouldBeFalse();

    [Fact]
    public void A_key_has_at_most_255_characters()
    {
        IdempotencyKey.TryParse(new string('a', 255), out _).ShouldBeTrue();
        IdempotencyKey.TryParse(new string('a', 256), out _).ShouldBeFalse();
        IdempotencyKey.TryParse('"' + new string('a', 255) + '"', out _).ShouldBeTrue();
        IdempotencyKey.TryParse('"' + new string('a', 256) + '"', out _).ShouldBeFalse();
    }
}
