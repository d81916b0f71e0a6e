using System.Collections.Frozen;
using System.Globalization;
using Platform.Backend.Catalog;

namespace Platform.StoreDeployer.Rendering;

/// <summary>Writes amounts of one currency for one locale.</summary>
internal sealed class CurrencyFormat
{
    // Only where a sign is unambiguous in any country; other currencies are written with their code.
    private static readonly FrozenDictionary<string, string> Signs = new Dictionary<string, string>
    {
        ["AUD"] = "A$",
        ["BRL"] = "R$",
        ["CAD"] = "CA$",
        ["EUR"] = "€",
        ["GBP"] = "£",
        ["HKD"] = "HK$",
        ["ILS"] = "₪",
        ["INR"] = "₹",
        ["JPY"] = "¥",
        ["KRW"] = "₩",
        ["MXN"] = "MX$",
        ["NZD"] = "NZ$",
        ["PHP"] = "₱",
        ["TWD"] = "NT$",
        ["USD"] = "$",
        ["VND"] = "₫",
    }.ToFrozenDictionary();

    private readonly NumberFormatInfo _format;
    private readonly decimal _minorUnits;

    public CurrencyFormat(string code, CultureInfo culture)
    {
        Code = code;
        // A message from before currencies were checked may have a code that ISO 4217 doesn't.
        Decimals = Currency.TryFind(code, out var currency) ? currency.Decimals : 2;
        _minorUnits = (decimal)Math.Pow(10, Decimals);
        _format = (NumberFormatInfo)culture.NumberFormat.Clone();
        _format.CurrencyDecimalDigits = Decimals;
        if (IsCurrencyOf(culture, code))
            return;
        if (Signs.TryGetValue(code, out var sign))
        {
            // The invariant culture's pattern is that of English.
            _format.CurrencySymbol = sign;
            return;
        }

        // A code needs a space beside it.
        _format.CurrencySymbol = code;
        _format.CurrencyPositivePattern |= 2;
        _format.CurrencyNegativePattern = _format.CurrencyPositivePattern == 2 ? 9 : 8;
    }

    /// <summary>The ISO 4217 code.</summary>
    public string Code { get; }

    /// <summary>The decimals of an amount.</summary>
    public int Decimals { get; }

    public long ToMinorUnits(decimal amount) => (long)decimal.Round(amount * _minorUnits);

    public decimal FromMinorUnits(decimal minorUnits) => decimal.Round(minorUnits / _minorUnits, Decimals);

    /// <summary>The amount with the currency's sign, such as <c>€12.50</c> or <c>12,50 €</c>.</summary>
    public string Format(decimal minorUnits) => FromMinorUnits(minorUnits).ToString("C", _format);

    /// <summary>As <see cref="Format"/>, without decimals that are all zero.</summary>
    public string FormatWithoutZeros(decimal minorUnits) =>
        FromMinorUnits(minorUnits) is var amount && decimal.Truncate(amount) == amount ? amount.ToString("C0", _format) : amount.ToString("C", _format);

    /// <summary>The amount without the currency, such as <c>12.50</c>.</summary>
    public string FormatNumber(decimal minorUnits) => FromMinorUnits(minorUnits).ToString($"N{Decimals}", _format);

    private static bool IsCurrencyOf(CultureInfo culture, string code)
    {
        try
        {
            return !culture.IsNeutralCulture && culture.Name.Length > 0 && new RegionInfo(culture.Name).ISOCurrencySymbol == code;
        }
        catch (ArgumentException)
        {
            // A culture without a country.
            return false;
        }
    }
}

/// <summary>The cultures by which stores are written.</summary>
internal static class Locales
{
    private static readonly string[] RightToLeft = ["ar", "arc", "ckb", "dv", "fa", "he", "ku", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"];

    /// <summary>Whether this process has the data of CLDR. Without ICU, .NET only knows the invariant culture.</summary>
    public static bool AreAvailable { get; } = Find("de-DE").NumberFormat.NumberDecimalSeparator == ",";

    /// <summary>The culture of a BCP 47 tag; the invariant one if it is unknown here.</summary>
    public static CultureInfo Find(string locale)
    {
        try
        {
            return CultureInfo.CreateSpecificCulture(locale);
        }
        catch (CultureNotFoundException)
        {
            return CultureInfo.InvariantCulture;
        }
    }

    /// <summary><c>rtl</c> or <c>ltr</c>.</summary>
    public static string DirectionOf(string locale) => RightToLeft.Contains(locale.Split('-')[0].ToLowerInvariant()) ? "rtl" : "ltr";
}
