using System.Collections.Frozen;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using Platform.Templates;

namespace Platform.StoreDeployer.Rendering;

/// <summary>A product of the shop.</summary>
internal sealed partial record ProductSpec(string Sku, string Name, decimal Price, string Currency, string? Description = null, string? ImageUrl = null)
{
    /// <summary>The product's part of its page's address. Backend derives it in the same way and keeps it unique in a shop.</summary>
    [JsonIgnore]
    public string UrlSlug => NotUrlSafe().Replace(Sku.ToLowerInvariant(), "-").Trim('-');

    [GeneratedRegex("[^a-z0-9]+", RegexOptions.NonBacktracking)]
    private static partial Regex NotUrlSafe();
}

/// <summary>The input of rendering.</summary>
/// <param name="Slug">The last part of the store's address.</param>
/// <param name="Url">The store's public address.</param>
/// <param name="Name">The shop's name.</param>
/// <param name="Settings">The merchant's settings; parameters that are absent have their defaults.</param>
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

    /// <summary>The relative path from a page to the store's root. For the 404 page, which is shown at any address, it is the absolute path.</summary>
    public static string RootOf(string path, string rootPath) =>
        path == NotFound ? rootPath : string.Concat(Enumerable.Repeat("../", path.Count(c => c == '/')));

    /// <summary>A link to <paramref name="path"/>; an index page is linked to as its folder.</summary>
    public static string Link(string root, string path)
    {
        var folder = path == Index ? "" : path.EndsWith("/" + Index, StringComparison.Ordinal) ? path[..^Index.Length] : path;
        return root + folder is { Length: > 0 } link ? link : "./";
    }
}

/// <summary>Builds the data of a store's pages, which consists of <see cref="ModelObject"/>, <see cref="ModelList"/>, strings, numbers and booleans only.</summary>
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
            // The settings may have been made for another version of the template. A value that is invalid for this version is replaced by the default.
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

/// <summary>Formats prices with the currency's sign if that is unambiguous, and with its code otherwise.</summary>
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
