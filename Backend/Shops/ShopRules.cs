using System.Globalization;
using System.Text.RegularExpressions;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Rules for a shop's slug, name and products. For its settings see <see cref="SettingsRules"/>.</summary>
internal static partial class ShopRules
{
    public const int MaxProducts = 500;

    private const int MaxName = 100;
    private const int MaxProductName = 200;
    private const int MaxDescription = 5_000;
    private const decimal MaxPrice = 1_000_000m;

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

    public static void Check(ValidationErrors errors, ShopInput shop)
    {
        CheckName(errors, "name", shop.Name, MaxName);
        if (shop.Products.Count > MaxProducts)
        {
            errors.Add("products", string.Create(CultureInfo.InvariantCulture, $"must be at most {MaxProducts}"));
            return;
        }

        var skus = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        var slugs = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < shop.Products.Count; i++)
        {
            var field = string.Create(CultureInfo.InvariantCulture, $"products[{i}]");
            if (shop.Products[i] is { } product)
                CheckProduct(errors, field, product, skus, slugs);
            else
                errors.Add(field, "must not be null");
        }
    }

    /// <summary>The shop as it is stored: names trimmed, prices with two decimals, empty optional fields null.</summary>
    public static T Normalize<T>(T shop) where T : ShopInput => shop with
    {
        Name = shop.Name.Trim(),
        Products = [.. shop.Products.Select(product => product with
        {
            Name = product.Name.Trim(),
            Price = decimal.Round(product.Price, 2),
            Description = string.IsNullOrWhiteSpace(product.Description) ? null : product.Description,
            ImageUrl = string.IsNullOrEmpty(product.ImageUrl) ? null : product.ImageUrl,
        })],
    };

    private static void CheckProduct(ValidationErrors errors, string field, Product product, HashSet<string> skus, HashSet<string> slugs)
    {
        if (!Sku().IsMatch(product.Sku))
            errors.Add($"{field}.sku", "must be 1 to 64 letters, digits, \".\", \"_\" or \"-\", and begin with a letter or digit");
        else if (!skus.Add(product.Sku))
            errors.Add($"{field}.sku", $"\"{product.Sku}\" is used by another product (upper and lower case count as the same)");
        else if (!slugs.Add(ProductSlug(product.Sku)))
            errors.Add($"{field}.sku", $"\"{product.Sku}\" would have the same page address as another product");

        CheckName(errors, $"{field}.name", product.Name, MaxProductName);

        if (product.Description is { } description)
        {
            if (description.Length > MaxDescription)
                errors.Add($"{field}.description", string.Create(CultureInfo.InvariantCulture, $"must have at most {MaxDescription} characters"));
            else if (FieldRules.RefuseCharacters(description, multiline: true) is { } rule)
                errors.Add($"{field}.description", rule);
        }

        if (product.Price is < 0 or > MaxPrice)
            errors.Add($"{field}.price", "must be between 0 and 1000000");
        else if (decimal.Round(product.Price, 2) != product.Price)
            errors.Add($"{field}.price", "must have at most two decimals");

        if (!Currencies.Contains(product.Currency))
            errors.Add($"{field}.currency", "must be an ISO 4217 code such as \"EUR\"");

        if (!string.IsNullOrEmpty(product.ImageUrl) && FieldRules.RefuseAddress(product.ImageUrl) is { } refused)
            errors.Add($"{field}.imageUrl", refused);
    }

    private static void CheckName(ValidationErrors errors, string field, string name, int max)
    {
        var trimmed = name.Trim();
        if (trimmed.Length == 0)
            errors.Add(field, "must not be empty");
        else if (trimmed.Length > max)
            errors.Add(field, string.Create(CultureInfo.InvariantCulture, $"must have at most {max} characters"));
        else if (FieldRules.RefuseCharacters(trimmed, multiline: false) is { } rule)
            errors.Add(field, rule);
    }

    /// <summary>The product's part of its page's address. StoreDeployer derives it in the same way.</summary>
    private static string ProductSlug(string sku) => NotUrlSafe().Replace(sku.ToLowerInvariant(), "-").Trim('-');

    [GeneratedRegex(@"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\z", RegexOptions.NonBacktracking)]
    private static partial Regex Slug();

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z", RegexOptions.NonBacktracking)]
    private static partial Regex Sku();

    [GeneratedRegex("[^a-z0-9]+", RegexOptions.NonBacktracking)]
    private static partial Regex NotUrlSafe();
}
