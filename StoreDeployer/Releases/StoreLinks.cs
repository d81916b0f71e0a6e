using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Platform.StoreDeployer.Deployments;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Releases;

/// <summary>Checks a store's pages for broken internal links.</summary>
internal static partial class StoreLinks
{
    private static readonly string[] RequiredPages = [StorePaths.Index, StorePaths.NotFound];

    /// <exception cref="PermanentFailureException">A required page is missing, or a page has a broken link.</exception>
    public static void Check(IReadOnlyList<ReleaseFile> files, string rootPath)
    {
        var paths = files.Select(file => file.Path).ToHashSet();
        foreach (var missing in RequiredPages.Where(path => !paths.Contains(path)))
            throw new PermanentFailureException("page-missing", $"The store has no {missing}.");

        var root = new Uri("http://store" + rootPath);
        foreach (var page in files.Where(file => file.Path.EndsWith(".html", StringComparison.Ordinal)))
        {
            // The 404 page is shown at any address, so it must not have relative links. Resolving them from a deep address finds them.
            var address = new Uri(root, page.Path == StorePaths.NotFound ? "no/such/page/" : page.Path);
            foreach (var reference in References(Encoding.UTF8.GetString(page.Content.Span)))
            {
                if (!Resolves(reference, address, root, paths))
                    throw new PermanentFailureException("broken-link", $"{page.Path} refers to {reference}, which the store does not have.");
            }
        }
    }

    private static bool Resolves(string reference, Uri page, Uri root, HashSet<string> paths)
    {
        if (reference.Length == 0 || reference[0] == '#' || Absolute().IsMatch(reference))
            return true;
        if (!Uri.TryCreate(page, reference, out var target))
            return false;
        // An absolute path may deliberately lead out of the store to another page of the host; a relative path that does is a mistake.
        if (!target.AbsolutePath.StartsWith(root.AbsolutePath, StringComparison.Ordinal))
            return reference[0] == '/';
        var path = Uri.UnescapeDataString(target.AbsolutePath[root.AbsolutePath.Length..]);
        return paths.Contains(path.Length == 0 || path[^1] == '/' ? path + StorePaths.Index : path) || paths.Contains(path + "/" + StorePaths.Index);
    }

    private static IEnumerable<string> References(string html)
    {
        foreach (Match attribute in Attributes().Matches(Comments().Replace(html, "")))
        {
            var value = WebUtility.HtmlDecode(attribute.Groups["value"].Value).Trim();
            if (attribute.Groups["name"].Value.Equals("srcset", StringComparison.OrdinalIgnoreCase))
            {
                foreach (var candidate in value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
                    yield return candidate.Split(' ', 2)[0];
            }
            else
            {
                yield return value;
            }
        }
    }

    // A regular expression is sufficient: merchants' text is escaped, so every < and quote comes from the template.
    [GeneratedRegex("""(?<=<[a-z][^<>]*?\s)(?<name>href|src|srcset|poster|action)\s*=\s*(?:"(?<value>[^"]*)"|'(?<value>[^']*)')""",
        RegexOptions.IgnoreCase, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Attributes();

    [GeneratedRegex("<!--.*?-->", RegexOptions.Singleline, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Comments();

    // References with a scheme, or protocol-relative ones (//host).
    [GeneratedRegex("^([a-z][a-z0-9+.-]*:|//)", RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Absolute();
}
