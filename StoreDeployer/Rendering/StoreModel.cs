using System.Collections.Frozen;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>A product as its shop described it.</summary>
internal sealed partial record ProductSpec(string Sku, string Name, decimal Price, string Currency, string? Description = null, string? ImageUrl = null)
{
    /// <summary>The product's part of its page's address, made as Backend makes it, which keeps it unique in a shop.</summary>
    [JsonIgnore]
    public string UrlSlug => NotUrlSafe().Replace(Sku.ToLowerInvariant(), "-").Trim('-');

    [GeneratedRegex("[^a-z0-9]+", RegexOptions.NonBacktracking)]
    private static partial Regex NotUrlSafe();
}

/// <summary>What a store is rendered from.</summary>
/// <param name="Slug">The store's part of its address.</param>
/// <param name="Url">The store's public address.</param>
/// <param name="Name">The shop's name.</param>
/// <param name="Settings">What the merchant set; parameters that are absent take their defaults.</param>
/// <param name="Products">In the merchant's order.</param>
internal sealed record StoreSpec(string Slug, Uri Url, string Name, IReadOnlyDictionary<string, JsonElement> Settings, IReadOnlyList<ProductSpec> Products)
{
    /// <summary>The path of the store's root on its host, with a slash at both ends.</summary>
    public string RootPath => Url.AbsolutePath;
}

/// <summary>The addresses within a store.</summary>
internal static class StorePaths
{
    public const string Index = "index.html";
    public const string NotFound = "404.html";

    /// <summary>What leads from a page to the store's root. The 404 page is shown at any address, so only a path from the host's root does.</summary>
    public static string RootOf(string path, string rootPath) =>
        path == NotFound ? rootPath : string.Concat(Enumerable.Repeat("../", path.Count(c => c == '/')));

    /// <summary>A link to <paramref name="path"/>; an index page is linked to as its folder.</summary>
    public static string Link(string root, string path)
    {
        var folder = path == Index ? "" : path.EndsWith("/" + Index, StringComparison.Ordinal) ? path[..^Index.Length] : path;
        return root + folder is { Length: > 0 } link ? link : "./";
    }
}

/// <summary>The data of a store's pages, made of <see cref="ModelObject"/>, <see cref="ModelList"/>, text, numbers and truth values only.</summary>
internal sealed class StoreModel
{
    private readonly StoreSpec _store;
    private readonly TemplatePage? _productPage;
    private readonly ModelObject _shop;
    private readonly ModelObject _settings = [];
    private readonly int _year;
    private readonly Dictionary<string, Dictionary<string, ModelObject>> _productsByRoot = [];

    public StoreModel(StoreSpec store, TemplateManifest manifest, int year)
    {
        (_store, _year) = (store, year);
        _productPage = manifest.Pages.FirstOrDefault(page => page.ForEach is not null);
        _shop = new ModelObject { ["name"] = store.Name, ["slug"] = store.Slug, ["url"] = store.Url.AbsoluteUri };
        foreach (var parameter in manifest.Parameters)
        {
            // The shop may have been set up for another version of the template; a value that does not fit this one is not used.
            _settings[parameter.Name] = Value(store.Settings.TryGetValue(parameter.Name, out var value) && parameter.Check(value) is null
                ? value
                : parameter.ValueWhenAbsent());
        }
    }

    public ModelObject ForPage(string path, string root, ProductSpec? product)
    {
        if (!_productsByRoot.TryGetValue(root, out var products))
            _productsByRoot[root] = products = _store.Products.ToDictionary(item => item.UrlSlug, item => Product(item, root));

        var model = new ModelObject
        {
            ["shop"] = _shop,
            ["settings"] = _settings,
            ["products"] = new ModelList(_store.Products.Select(item => products[item.UrlSlug])),
            ["page"] = new ModelObject { ["path"] = path, ["root"] = root },
            ["year"] = _year,
        };
        if (product is not null)
            model["product"] = products[product.UrlSlug];
        return model;
    }

    private ModelObject Product(ProductSpec product, string root) => new()
    {
        ["sku"] = product.Sku,
        ["slug"] = product.UrlSlug,
        ["name"] = product.Name,
        ["description"] = product.Description ?? "",
        ["price"] = product.Price.ToString("0.00", CultureInfo.InvariantCulture),
        ["priceText"] = Currencies.Format(product.Price, product.Currency),
        ["currency"] = product.Currency,
        ["imageUrl"] = product.ImageUrl ?? "",
        ["url"] = StorePaths.Link(root, _productPage?.PathFor(product.UrlSlug) ?? StorePaths.Index),
    };

    private static object? Value(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Number => value.GetDecimal(),
        JsonValueKind.String => value.GetString(),
        _ => null,
    };
}

/// <summary>Prices for people: the currency's sign where it is unmistakable, its code elsewhere.</summary>
internal static class Currencies
{
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

    private static readonly FrozenSet<string> WithoutMinorUnit = new[] { "CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF" }.ToFrozenSet();

    public static string Format(decimal price, string currency)
    {
        var amount = price.ToString(WithoutMinorUnit.Contains(currency) && decimal.Truncate(price) == price ? "#,0" : "#,0.00", CultureInfo.InvariantCulture);
        return Signs.TryGetValue(currency, out var sign) ? sign + amount : $"{currency} {amount}";
    }
}
