using System.Buffers;
using System.Globalization;
using System.Text;

namespace Platform.Backend.Shops;

/// <summary>Rules for texts and addresses that merchants enter.</summary>
internal static class FieldRules
{
    private const int MaxAddress = 2_000;

    /// <summary>Browsers treat a backslash as a slash, so that <c>/\host</c> leads to another host. The other characters end an attribute.</summary>
    private static readonly SearchValues<char> UnsafeInAddress = SearchValues.Create("\\\"'<>`");

    /// <summary>Refuses control characters, except for line breaks and tabs in <paramref name="multiline"/> text.</summary>
    /// <returns>The rule that is broken, or null.</returns>
    public static string? RefuseCharacters(string text, bool multiline)
    {
        foreach (var rune in text.EnumerateRunes())
        {
            if (Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
                && !(multiline && rune.Value is '\n' or '\r' or '\t'))
            {
                return string.Create(CultureInfo.InvariantCulture, $"must not contain the control character U+{rune.Value:X4}");
            }
        }

        return null;
    }

    /// <summary>Refuses everything except for http and https addresses and absolute paths.</summary>
    /// <returns>The rule that is broken, or null.</returns>
    public static string? RefuseAddress(string address)
    {
        const string Rule = "must be an http or https address, or a path that begins with one \"/\"";
        if (address.Length > MaxAddress)
            return string.Create(CultureInfo.InvariantCulture, $"must have at most {MaxAddress} characters");

        // Browsers drop tabs and line breaks: "/\t/host" would become "//host".
        if (address.Any(character => char.IsControl(character) || char.IsWhiteSpace(character) || char.IsSurrogate(character))
            || address.AsSpan().ContainsAny(UnsafeInAddress))
        {
            return Rule;
        }

        if (address.StartsWith('/'))
            return address.StartsWith("//", StringComparison.Ordinal) ? Rule : null;
        return Uri.TryCreate(address, UriKind.Absolute, out var uri)
            && (uri.Scheme == Uri.UriSchemeHttp || uri.Scheme == Uri.UriSchemeHttps)
            && uri.Host.Length > 0
            ? null
            : Rule;
    }
}
