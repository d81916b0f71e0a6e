using System.Text.RegularExpressions;

namespace Platform.Templates;

/// <summary>A page of the store. With <paramref name="ForEach"/> there is one page per product or collection, and the path contains <c>{slug}</c>.</summary>
internal sealed partial record TemplatePage(
    string Path,
    string Template,
    string? ForEach)
{
    public const string Slug = "{slug}";
    public const string Products = "products";
    public const string Collections = "collections";

    /// <summary>The folder of the store's assets, which must not contain pages.</summary>
    public const string AssetsFolder = "_assets";

    private static readonly string[] RequiredPages = ["index.html", "404.html"];

    /// <summary>This page's path for one product or collection.</summary>
    public string PathFor(string slug) => Path.Replace(Slug, slug, StringComparison.Ordinal);

    internal static TemplatePage Read(JsonFields fields)
    {
        var path = fields.Text("path", required: true, maxLength: 200) ?? "";
        var template = fields.Text("template", required: true, maxLength: 200) ?? "";
        var forEach = fields.Text("forEach", required: false, maxLength: 20);
        fields.RefuseOthers();

        if (path.Length > 0 && !PathPattern().IsMatch(path.Replace(Slug, "slug", StringComparison.Ordinal)))
            fields.Refuse("path", "must be a relative path of letters, digits, '.', '_' and '-' that ends in .html, such as about/index.html");
        if (path.StartsWith(AssetsFolder + "/", StringComparison.OrdinalIgnoreCase))
            fields.Refuse("path", $"must not be in {AssetsFolder}/, where assets are");
        if (forEach is not (null or Products or Collections))
            fields.Refuse("forEach", $"must be \"{Products}\" or \"{Collections}\"");

        var slugs = path.Split(Slug).Length - 1;
        if (forEach is not null && slugs != 1)
            fields.Refuse("path", $"must have {Slug} once, because the page is made for each of the {forEach}");
        if (forEach is null && slugs > 0)
            fields.Refuse("path", $"can have {Slug} only together with \"forEach\": \"{Products}\" or \"{Collections}\"");
        return new(path, template, forEach);
    }

    internal static void CheckTogether(List<TemplatePage> pages, JsonFields fields)
    {
        foreach (var missing in RequiredPages.Where(path => pages.TrueForAll(p => p.Path != path)))
            fields.Refuse("pages", $"must have a page with the path {missing}");
        foreach (var twice in pages.GroupBy(p => p.Path, StringComparer.OrdinalIgnoreCase).Where(g => g.Key.Length > 0 && g.Count() > 1))
            fields.Refuse("pages", $"has the path {twice.Key} twice");

        foreach (var perProduct in pages)
        {
            if (perProduct.Path.Split(Slug) is not [_, _] ends)
                continue;
            var clash = pages.Find(p => p != perProduct
                && p.Path.StartsWith(ends[0], StringComparison.OrdinalIgnoreCase)
                && p.Path.EndsWith(ends[1], StringComparison.OrdinalIgnoreCase)
                && p.Path.Length > ends[0].Length + ends[1].Length
                && !p.Path[ends[0].Length..^ends[1].Length].Contains('/', StringComparison.Ordinal));
            if (clash is not null)
                fields.Refuse("pages", $"{clash.Path} could be the page of a product or collection as well ({perProduct.Path})");
        }
    }

    [GeneratedRegex(@"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*\.html\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex PathPattern();
}
