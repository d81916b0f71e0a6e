using System.Globalization;
using Platform.Backend.Catalog;

namespace Platform.Backend.Tests.Catalog;

public sealed class CurrencyTests
{
    [Theory]
    [InlineData("JPY", 0)]
    [InlineData("ISK", 0)]
    [InlineData("UYI", 0)]
    [InlineData("EUR", 2)]
    [InlineData("HUF", 2)]
    [InlineData("IDR", 2)]
    [InlineData("MGA", 2)]
    [InlineData("KWD", 3)]
    [InlineData("TND", 3)]
    [InlineData("CLF", 4)]
    public void A_currency_has_the_minor_unit_of_ISO_4217(string code, int decimals)
    {
        Currency.TryFind(code, out var currency).ShouldBeTrue();
        currency.Decimals.ShouldBe(decimals);
    }

    [Theory]
    [InlineData("eur")]
    [InlineData("EURO")]
    [InlineData("")]
    [InlineData("XXX")]
    [InlineData("XAU")]
    [InlineData("HRK")] // replaced by the euro
    [InlineData("BGN")] // replaced by the euro
    public void Codes_without_a_minor_unit_and_withdrawn_ones_are_no_currencies(string code) => Currency.TryFind(code, out _).ShouldBeFalse();

    [Theory]
    [InlineData("JPY", "1200", null)]
    [InlineData("JPY", "1200.00", null)]
    [InlineData("JPY", "12.50", "must be a whole number: JPY has no decimals")]
    [InlineData("EUR", "12.5", null)]
    [InlineData("EUR", "1.234", "must have at most 2 decimals in EUR")]
    [InlineData("KWD", "1.234", null)]
    [InlineData("KWD", "1.2345", "must have at most 3 decimals in KWD")]
    [InlineData("EUR", "-0.01", "must be between 0 and 1000000000")]
    [InlineData("EUR", "1000000000", null)]
    [InlineData("EUR", "1000000000.01", "must be between 0 and 1000000000")]
    public void An_amount_has_at_most_the_decimals_of_its_currency(string code, string amount, string? rule) =>
        Currency.RefuseAmount(Decimal(amount), Currency.Of(code)).ShouldBe(rule);

    [Theory]
    [InlineData("JPY", "1200.0", 1200, "1200")]
    [InlineData("EUR", "12.5", 1250, "12.50")]
    [InlineData("KWD", "1.234", 1234, "1.234")]
    [InlineData("EUR", "0", 0, "0.00")]
    [InlineData("CLF", "1000000000", 10_000_000_000_000, "1000000000.0000")]
    public void An_amount_is_stored_in_the_minor_unit_and_read_with_all_decimals(string code, string amount, long stored, string read)
    {
        var currency = Currency.Of(code);

        currency.ToMinorUnits(Decimal(amount)).ShouldBe(stored);
        currency.FromMinorUnits(stored).ToString(CultureInfo.InvariantCulture).ShouldBe(read);
    }

    private static decimal Decimal(string text) => decimal.Parse(text, CultureInfo.InvariantCulture);
}
