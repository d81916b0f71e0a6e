using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Platform.Backend.Catalog;

/// <summary>A currency of ISO 4217. Amounts are decimals in the API, and whole numbers of the currency's minor unit in the database.</summary>
/// <param name="Code">The ISO 4217 code, such as <c>EUR</c>.</param>
/// <param name="Decimals">How many decimals amounts may have: 2 for EUR, 0 for JPY, 3 for KWD.</param>
internal sealed record Currency(string Code, int Decimals)
{
    /// <summary>The largest amount. A laptop costs some tens of millions in the currencies with the smallest units.</summary>
    public const decimal MaxAmount = 1_000_000_000m;

    /// <summary>All active codes that have a minor unit, which excludes metals, XXX and the like.</summary>
    private static readonly FrozenDictionary<string, Currency> All = new (int Decimals, string Codes)[]
    {
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (2, "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK"),
        (2, "DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR"),
        (2, "LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR"),
        (2, "SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR"),
        (2, "ZMW ZWG"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    }.SelectMany(group => group.Codes.Split(' '), (group, code) => new Currency(code, group.Decimals)).ToFrozenDictionary(currency => currency.Code, StringComparer.Ordinal);

    public static bool TryFind(string code, [NotNullWhen(true)] out Currency? currency) => All.TryGetValue(code, out currency);

    /// <summary>The currency of a stored code.</summary>
    public static Currency Of(string code) => All[code];

    /// <summary>Refuses amounts that are out of range or have more decimals than the currency, if it is known; trailing zeros don't count.</summary>
    /// <returns>The rule that is broken, or null.</returns>
    public static string? RefuseAmount(decimal amount, Currency? currency)
    {
        if (amount is < 0 or > MaxAmount)
            return string.Create(CultureInfo.InvariantCulture, $"must be between 0 and {MaxAmount}");
        if (currency is null || decimal.Round(amount, currency.Decimals) == amount)
            return null;
        return currency.Decimals == 0
            ? $"must be a whole number: {currency.Code} has no decimals"
            : string.Create(CultureInfo.InvariantCulture, $"must have at most {currency.Decimals} decimals in {currency.Code}");
    }

    /// <summary>An amount that <see cref="RefuseAmount"/> accepts, in the minor unit.</summary>
    public long ToMinorUnits(decimal amount) => (long)(amount * new decimal(Math.Pow(10, Decimals)));

    /// <summary>An amount with exactly the currency's decimals: 1250 is 12.50 EUR.</summary>
    public decimal FromMinorUnits(long amount) => new((int)amount, (int)(amount >> 32), 0, isNegative: false, (byte)Decimals);

    /// <summary>The same amount with exactly the currency's decimals.</summary>
    public decimal Normalize(decimal amount) => FromMinorUnits(ToMinorUnits(amount));
}
