using System.Globalization;
using System.Text.RegularExpressions;
using Platform.Backend.Catalog;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Rules for a shop's slug, name, language and list of products. For its settings see <see cref="SettingsRules"/>.</summary>
internal static partial class ShopRules
{
    /// <summary>How many products the list of a shop can have that clients send. A shop can have more, see <see cref="ProductRules.MaxProducts"/>.</summary>
    public const int MaxProducts = 500;

    private const int MaxName = 100;
    private const int MaxLocale = 35;

    /// <summary>Slugs reserved for the platform, so that stores could become subdomains later.</summary>
    private static readonly HashSet<string> ReservedSlugs = new(StringComparer.Ordinal)
    {
        "account", "admin", "alive", "api", "assets", "auth", "cdn", "console", "dashboard", "health", "login", "logout", "metrics", "openapi",
        "ready", "static", "status", "stores", "www",
    };

    public static void CheckSlug(ValidationErrors errors, string slug)
    {
        if (!Slug().IsMatch(slug))
            errors.Add("slug", "must be 1 to 63 characters of a-z, 0-9 and \"-\", and not begin or end with \"-\"");
        else if (ReservedSlugs.Contains(slug))
            errors.Add("slug", $"\"{slug}\" is reserved");
    }

    /// <summary>Checks everything but slug and settings.</summary>
    /// <param name="errors">Takes the rules that are broken.</param>
    /// <param name="shop">The shop's content.</param>
    /// <param name="known">The shop as it is, or null for a new one.</param>
    /// <param name="existing">All of its products.</param>
    /// <param name="keepsProducts">Whether these stay as they are.</param>
    /// <returns>The products to save, if there are no errors.</returns>
    public static IReadOnlyList<Product> Check(ValidationErrors errors, ShopInput shop, ShopDetails? known, IReadOnlyList<Product> existing, bool keepsProducts = false)
    {
        ProductRules.CheckName("name", shop.Name, MaxName, (field, rule) => errors.Add(field, rule));
        if (shop.Locale.Length > MaxLocale || !Locale().IsMatch(shop.Locale))
            errors.Add("locale", "must be a BCP 47 language tag such as \"en\", \"de-CH\" or \"zh-Hant-TW\"");
        if (shop.Currency is not null && !Currency.TryFind(shop.Currency, out _))
            errors.Add("currency", "must be an ISO 4217 code such as \"EUR\"");
        if (keepsProducts)
        {
            if (CurrencyOf(shop, known) != known?.Currency)
                errors.Add("currency", $"must be \"{known?.Currency}\", that of the shop's products");
            return existing;
        }

        if (shop.Products.Count > MaxProducts)
        {
            errors.Add("products", string.Create(CultureInfo.InvariantCulture, $"must be at most {MaxProducts}"));
            return [];
        }

        return CheckProducts(errors, shop.Products, CurrencyOf(shop, known), known, existing);
    }

    /// <summary>The currency of a shop: as given, or that of its products, or null if there are none. Products of several currencies keep the shop's.</summary>
    public static string? CurrencyOf(ShopInput shop, ShopDetails? known)
    {
        if (shop.Currency is not null && Currency.TryFind(shop.Currency, out _))
            return shop.Currency;
        var currencies = shop.Products.Select(product => product?.Currency).Where(code => code is not null && Currency.TryFind(code, out _)).Distinct().ToList();
        return currencies.Contains(known?.Currency) ? known?.Currency : currencies.FirstOrDefault();
    }

    /// <summary>A valid locale with the usual upper and lower case: <c>zh-Hant-TW</c>.</summary>
    public static string NormalizeLocale(string locale)
    {
        var subtags = locale.ToLowerInvariant().Split('-');
        // After a single letter or digit, all are in lower case.
        for (var i = 1; i < subtags.Length && subtags[i].Length > 1; i++)
        {
            if (subtags[i].Length == 2)
                subtags[i] = subtags[i].ToUpperInvariant();
            else if (subtags[i].Length == 4 && char.IsAsciiLetter(subtags[i][0]))
                subtags[i] = char.ToUpperInvariant(subtags[i][0]) + subtags[i][1..];
        }

        return string.Join('-', subtags);
    }

    private static List<Product> CheckProducts(
        ValidationErrors errors, IReadOnlyList<ShopProduct> products, string? currency, ShopDetails? known, IReadOnlyList<Product> existing)
    {
        var bySlug = existing.ToDictionary(product => product.Slug, StringComparer.Ordinal);
        var skus = new SkuRules();
        var checkedProducts = new List<Product>();
        foreach (var (i, product) in products.Index())
        {
            var path = string.Create(CultureInfo.InvariantCulture, $"products[{i}]");
            if (product is null)
            {
                errors.Add(path, "must not be null");
                continue;
            }

            var stored = bySlug.GetValueOrDefault(ProductRules.SlugOf(product.Sku));
            var (given, currencyRule) = ProductRules.CurrencyOf(product.Currency, currency, stored is not null && stored.Currency != known?.Currency ? stored.Currency : null);
            if (currencyRule is not null)
                Add("currency", currencyRule);
            else if (stored is { Variants.Count: > 0 } && stored.Currency != product.Currency)
                Add("currency", $"cannot be changed here, because the product has variants with prices in {stored.Currency}");
            var input = product.ToInput();
            ProductRules.Check(input, product.Sku, given, Add);
            if (ProductRules.IsSku(product.Sku))
                skus.Add(product.Sku, stored?.Variants.Select(variant => variant.Sku) ?? [], Add);
            if (!errors.Any)
                checkedProducts.Add(Merge(ProductRules.Normalize(input, product.Sku, given!) with { Position = i }, stored));

            void Add(string field, string rule) => errors.Add($"{path}.{field}", rule);
        }

        return checkedProducts;
    }

    /// <summary>The product from a shop's list, with what the list doesn't say: stock stays as it is, and so do variants and what depends on them.</summary>
    private static Product Merge(Product product, Product? stored)
    {
        if (stored is null)
            return product;
        var price = stored.Variants.Count > 0 ? stored.Price : product.Price;
        return product with
        {
            Price = price,
            CompareAtPrice = stored.Currency == product.Currency && stored.CompareAtPrice > price ? stored.CompareAtPrice : null,
            Options = stored.Options,
            Variants = [.. stored.Variants.Select(variant => variant with { Stock = null })],
        };
    }

    [GeneratedRegex(@"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\z", RegexOptions.NonBacktracking)]
    private static partial Regex Slug();

    // The grammar of RFC 5646 without its list of irregular tags: language, script, region, variants, extensions, private use.
    [GeneratedRegex(
        @"^(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[0-9a-wyz](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?\z",
        RegexOptions.NonBacktracking | RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Locale();
}
