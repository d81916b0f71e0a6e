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

    /// <summary>
    /// Refuses names that are empty, too long or not visible, and those with characters that change the direction of the text around them. Marks and joiners that Arabic,
    /// Hebrew, Indic scripts and emoji need are fine. White space at the ends doesn't count.
    /// </summary>
    /// <returns>The rule that is broken, or null.</returns>
    public static string? RefuseName(string name, int max)
    {
        var trimmed = name.Trim();
        if (trimmed.Length == 0)
            return "must not be empty";
        if (trimmed.Length > max)
            return string.Create(CultureInfo.InvariantCulture, $"must have at most {max} characters");
        if (RefuseCharacters(trimmed, multiline: false) is { } rule)
            return rule;

        var isVisible = false;
        foreach (var rune in trimmed.EnumerateRunes())
        {
            // Embeddings, overrides and isolates: with them, a name can look like another one, or reorder the text after it.
            if (rune.Value is (>= 0x202A and <= 0x202E) or (>= 0x2066 and <= 0x206F))
                return string.Create(CultureInfo.InvariantCulture, $"must not contain the text direction control U+{rune.Value:X4}");
            isVisible |= IsVisible(rune);
        }

        return isVisible ? null : "must have a visible character";
    }

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

    /// <summary>Whether a reader sees the character. Joiners, variation selectors and combining marks need another one; some letters and symbols are blank.</summary>
    private static bool IsVisible(Rune rune) =>
        !Rune.IsWhiteSpace(rune)
        && Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Format or UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark)
        && rune.Value is not (0x115F or 0x1160 or 0x2800 or 0x3164 or 0xFFA0 or 0x2065 or (>= 0xFFF0 and <= 0xFFF8) or (>= 0xE0000 and <= 0xE0FFF));
}
