using System.Globalization;
using Fluid.Ast;

namespace Platform.Templates;

/// <summary>
/// The templates' language: Liquid, as in Shopify's themes, with a check before publishing that what a merchant types can't become markup, script or style.
/// docs/templates.md describes it for authors.
/// </summary>
internal static class TemplateLanguage
{
    /// <summary>The longest chain of partials that render one another.</summary>
    public const int MaxPartialDepth = 16;

    /// <summary>The longest source of a page or partial, in UTF-16 code units.</summary>
    public const int MaxSourceLength = 256 * 1024;

    public const string PagesFolder = "pages/";
    public const string PartialsFolder = "partials/";
    public const string AssetsFolder = "assets/";
    public const string Extension = ".liquid";

    /// <summary>The extension of the language before Liquid, Handlebars.</summary>
    public const string FormerExtension = ".hbs";

    /// <summary>The entry of the partial that <c>{% render 'cards/product' %}</c> renders: <c>partials/cards/product.liquid</c>.</summary>
    public static string PartialEntry(string name) =>
        PartialsFolder + (name.EndsWith(Extension, StringComparison.Ordinal) ? name : name + Extension);

    /// <summary>Parses and checks all pages and partials of a bundle.</summary>
    /// <param name="manifest">Says which pages there are and which settings a page can see.</param>
    /// <param name="sources">The text of each page and partial by its path in the bundle.</param>
    /// <param name="assets">The paths of the assets, without <c>assets/</c>.</param>
    /// <param name="parser">The parser, which the renderer extends.</param>
    /// <param name="issues">Collects what is wrong.</param>
    /// <returns>The parsed sources by their path, as far as they could be parsed.</returns>
    public static IReadOnlyDictionary<string, TemplateSource> Check(
        TemplateManifest manifest, IReadOnlyDictionary<string, string> sources, IReadOnlySet<string> assets, TemplateParser parser, TemplateIssues issues)
    {
        var before = issues.Count;
        var parsed = new Dictionary<string, TemplateSource>();
        foreach (var (entry, source) in sources.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            if (source.Length > MaxSourceLength)
            {
                issues.Add(entry, string.Create(CultureInfo.InvariantCulture, $"is longer than {MaxSourceLength} characters"));
                continue;
            }

            try
            {
                parsed[entry] = parser.ParseSource(source);
            }
            catch (TemplateSyntaxException e)
            {
                issues.Add(entry, e.Line, e.Message);
            }
        }

        foreach (var page in manifest.Pages.Where(p => !sources.ContainsKey(p.Template)))
            issues.Add(TemplateManifest.Entry, $"pages: {page.Template} is not in the bundle");
        RefuseUnknownPartialsAndCycles(parsed, sources, issues);
        if (issues.Count > before)
            return parsed;

        var checker = new TemplateChecker(manifest, parsed, assets, issues);
        foreach (var page in manifest.Pages)
            checker.CheckPage(page);
        return parsed;
    }

    private static void RefuseUnknownPartialsAndCycles(
        Dictionary<string, TemplateSource> parsed, IReadOnlyDictionary<string, string> sources, TemplateIssues issues)
    {
        var depths = new Dictionary<string, int>();
        foreach (var entry in parsed.Keys)
            DepthOf(entry, []);

        int DepthOf(string entry, List<string> path)
        {
            if (depths.TryGetValue(entry, out var known))
                return known;
            var deepest = 0;
            path.Add(entry);
            foreach (var render in Renders.In(parsed[entry]))
            {
                var target = PartialEntry(render.Path);
                var start = path.IndexOf(target);
                if (start >= 0)
                    issues.Add(entry, parsed[entry].LineOf(render), $"{{% render '{render.Path}' %}} renders itself: {string.Join(" → ", path.Skip(start).Append(target))}");
                else if (parsed.ContainsKey(target))
                    deepest = Math.Max(deepest, DepthOf(target, path) + 1);
                else if (!sources.ContainsKey(target))
                    issues.Add(entry, parsed[entry].LineOf(render), $"there is no partial '{render.Path}' ({target})");
            }
            path.RemoveAt(path.Count - 1);
            if (deepest > MaxPartialDepth)
                issues.Add(entry, string.Create(CultureInfo.InvariantCulture, $"begins a chain of more than {MaxPartialDepth} partials"));
            return depths[entry] = Math.Min(deepest, MaxPartialDepth);
        }
    }

    private sealed class Renders : AstVisitor
    {
        private readonly List<RenderStatement> _found = [];

        public static List<RenderStatement> In(TemplateSource source)
        {
            var visitor = new Renders();
            visitor.VisitTemplate(source.Template);
            return visitor._found;
        }

        protected override Statement VisitRenderStatement(RenderStatement renderStatement)
        {
            _found.Add(renderStatement);
            return base.VisitRenderStatement(renderStatement);
        }
    }
}
