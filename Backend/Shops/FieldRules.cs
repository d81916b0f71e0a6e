using System.Buffers;
using System.Globalization;
using System.Text;

namespace Platform.Backend.Shops;

/// <summary>Rules that hold wherever a merchant types text or an address.</summary>
internal static class FieldRules
{
    private const int MaxAddress = 2_000;

    /// <summary>Browsers read a backslash as a slash, so that what looks like a path would become another host; the others end an attribute.</summary>
    private static readonly SearchValues<char> Misread = SearchValues.Create("\\\"'<>`");

    /// <summary>Refuses what cannot be printed; line breaks and tabs are for <paramref name="multiline"/> text only.</summary>
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

    /// <summary>Refuses all but http and https addresses and paths from the root.</summary>
    /// <returns>The rule that is broken, or null.</returns>
    public static string? RefuseAddress(string address)
    {
        const string Rule = "must be an http or https address, or a path that begins with one \"/\"";
        if (address.Length > MaxAddress)
            return string.Create(CultureInfo.InvariantCulture, $"must have at most {MaxAddress} characters");

        // browsers drop tabs and line breaks: "/\t/host" would be "//host"
        if (address.Any(character => char.IsControl(character) || char.IsWhiteSpace(character) || char.IsSurrogate(character))
            || address.AsSpan().ContainsAny(Misread))
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
