using System.Text.RegularExpressions;

namespace Platform.Templates;

/// <summary>
/// Finds what a bundle has and browsers will block, because the stores' Content-Security-Policy allows scripts, style sheets, fonts and media from the store itself only, and no
/// inline scripts. Such a template works, but without these parts, so they are no errors.
/// </summary>
internal static partial class BrowserWarnings
{
    /// <summary>The warnings for the pages, partials and style sheets of a bundle; a hundred at most.</summary>
    public static IReadOnlyList<TemplateIssue> Of(IEnumerable<KeyValuePair<string, string>> sources)
    {
        var warnings = new TemplateIssues();
        foreach (var (entry, text) in sources.OrderBy(source => source.Key, StringComparer.Ordinal))
        {
            if (entry.EndsWith(".css", StringComparison.OrdinalIgnoreCase))
                Add(StyleSheetAddress(), match => $"loads {match.Groups["address"].Value}, which browsers will block; put the file into {TemplateLanguage.AssetsFolder}");
            else
            {
                Add(ScriptElement(), OfScript);
                Add(LoadingElement(), OfElement);
                Add(EventHandler(), match => $"has the event handler {match.Groups["name"].Value}, which browsers will block; use addEventListener in a script in {TemplateLanguage.AssetsFolder}");
            }

            void Add(Regex pattern, Func<Match, string?> describe)
            {
                foreach (Match match in pattern.Matches(text))
                {
                    if (describe(match) is { } reason)
                        warnings.Add(entry, text.AsSpan(0, match.Index).Count('\n') + 1, reason);
                }
            }
        }
        return warnings.Items;
    }

    private static string? OfScript(Match script)
    {
        var attributes = script.Groups["attributes"].Value;
        var source = Source().Match(attributes);
        if (source.Success)
        {
            return ExternalAddress().IsMatch(source.Groups["address"].Value)
                ? $"<script> loads {source.Groups["address"].Value}, which browsers will block; put the file into {TemplateLanguage.AssetsFolder}"
                : null;
        }
        return JsonType().IsMatch(attributes) ? null : $"has an inline script, which browsers will block; put it into a file in {TemplateLanguage.AssetsFolder}";
    }

    private static string? OfElement(Match element)
    {
        var attributes = element.Groups["attributes"].Value;
        var isLink = !element.Groups["element"].Success;
        return OtherHost().Match(attributes) is { Success: true } address && (!isLink || LoadingRelation().IsMatch(attributes))
            ? $"<{(isLink ? "link" : element.Groups["element"].Value)}> loads {address.Groups["address"].Value}, which browsers will block; put the file into {TemplateLanguage.AssetsFolder}"
            : null;
    }

    private const RegexOptions Options = RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking;

    [GeneratedRegex(@"<script(?<attributes>[^>]*)>", Options)]
    private static partial Regex ScriptElement();

    [GeneratedRegex("""\ssrc\s*=\s*["']?(?<address>[^"'\s>]+)""", Options)]
    private static partial Regex Source();

    [GeneratedRegex("""\stype\s*=\s*["']?application/(ld\+)?json""", Options)]
    private static partial Regex JsonType();

    [GeneratedRegex(@"^(https?:)?//", Options)]
    private static partial Regex ExternalAddress();

    // Links of other kinds, such as icons and canonical addresses, may lead to other hosts.
    [GeneratedRegex("""<link\s(?<attributes>[^>]*)>|<(?<element>iframe|embed|object|video|audio|source|track)\s(?<attributes>[^>]*)>""", Options)]
    private static partial Regex LoadingElement();

    [GeneratedRegex("""(^|\s)rel\s*=\s*["']?(stylesheet|preload|modulepreload)""", Options)]
    private static partial Regex LoadingRelation();

    [GeneratedRegex("""(^|\s)(href|src|data)\s*=\s*["']?(?<address>(https?:)?//[^"'\s>]+)""", Options)]
    private static partial Regex OtherHost();

    [GeneratedRegex("""<[a-z][^>]*\s(?<name>on[a-z]+)\s*=""", Options)]
    private static partial Regex EventHandler();

    [GeneratedRegex("""(@import\s+|url\(\s*)(url\(\s*)?["']?(?<address>(https?:)?//[^"')\s]+)""", Options)]
    private static partial Regex StyleSheetAddress();
}
