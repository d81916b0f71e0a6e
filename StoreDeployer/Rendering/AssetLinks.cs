using System.Text;
using System.Text.RegularExpressions;
using Platform.StoreDeployer.Releases;

namespace Platform.StoreDeployer.Rendering;

/// <summary>
/// Gives each asset an address with its digest. References in style sheets are rewritten to these addresses, so that a style sheet's digest changes whenever an asset
/// that it uses does, and a page never mixes the assets of two releases.
/// </summary>
internal static partial class AssetLinks
{
    public static IReadOnlyDictionary<string, ReleaseFile> Resolve(IReadOnlyDictionary<string, byte[]> assets)
    {
        var files = new Dictionary<string, ReleaseFile>();
        var open = new HashSet<string>();
        foreach (var name in assets.Keys)
            Add(name);
        return files;

        ReleaseFile Add(string name)
        {
            if (files.TryGetValue(name, out var known))
                return known;
            if (!open.Add(name))
                throw new RenderException("asset-cycle", $"The style sheet {name} imports itself.");
            var content = name.EndsWith(".css", StringComparison.OrdinalIgnoreCase) ? Stylesheet(name, assets[name]) : assets[name];
            return files[name] = ReleaseFile.Asset(NotUrlSafe().Replace(name, "-"), content);
        }

        byte[] Stylesheet(string name, byte[] content) => Encoding.UTF8.GetBytes(References().Replace(Encoding.UTF8.GetString(content), match =>
        {
            var address = match.Groups["address"];
            if (!IsRelative(address.Value))
                return match.Value;
            var suffix = address.Value.IndexOfAny(['?', '#']) is >= 0 and var at ? address.Value[at..] : "";
            var target = Uri.UnescapeDataString(new Uri(new Uri($"http://assets/{Uri.EscapeDataString(name).Replace("%2F", "/", StringComparison.Ordinal)}"), address.Value[..^suffix.Length]).AbsolutePath[1..]);
            if (!assets.ContainsKey(target))
                throw new RenderException("asset-missing", $"The style sheet {name} refers to {address.Value}, which is not in the bundle.");
            // Relative to _assets/<digest>/name.css, "../" is _assets/.
            var replacement = $"../{Add(target).Path[ReleaseFile.AssetsFolder.Length..]}{suffix}";
            return match.Value[..(address.Index - match.Index)] + replacement + match.Value[(address.Index - match.Index + address.Length)..];
        }));
    }

    private static bool IsRelative(string address) =>
        address is not ['/' or '#', ..] && !Scheme().IsMatch(address);

    [GeneratedRegex("""url\(\s*(?<address>[^"')\s]+)\s*\)|url\(\s*(?<quote>["'])(?<address>[^"']+)\k<quote>\s*\)|@import\s+(?<quote>["'])(?<address>[^"']+)\k<quote>""", RegexOptions.IgnoreCase, 1000)]
    private static partial Regex References();

    // Assets keep their names in templates; in addresses, the digest tells them apart.
    [GeneratedRegex("[^A-Za-z0-9._/-]+", RegexOptions.NonBacktracking)]
    private static partial Regex NotUrlSafe();

    [GeneratedRegex("^[a-z][a-z0-9+.-]*:", RegexOptions.IgnoreCase | RegexOptions.NonBacktracking)]
    private static partial Regex Scheme();
}
