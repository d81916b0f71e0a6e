using System.Globalization;
using System.Text.RegularExpressions;
using Platform.Backend.Shops;

namespace Platform.Backend.Catalog;

/// <summary>Rules for products and their variants.</summary>
internal static partial class ProductRules
{
    /// <summary>How many products a shop can have.</summary>
    public const int MaxProducts = 10_000;

    /// <summary>
    /// How many bytes a shop's products can have together, as JSON in the message of a deployment. The message can have 16 MiB
    /// (<see cref="ServiceDefaults.Postgres.Messaging.MessageEndpoints.MaxMessageSize"/>).
    /// </summary>
    public const int MaxTotalSize = 12 * 1024 * 1024;

    public const int MaxOptions = 3;
    public const int MaxVariants = 100;
    public const int MaxStock = 1_000_000_000;

    private const int MaxName = 200;
    private const int MaxOptionName = 50;
    private const int MaxOptionValue = 100;
    private const int MaxDescription = 5_000;

    public static readonly string TooLarge = string.Create(CultureInfo.InvariantCulture, $"must together have at most {MaxTotalSize / 1024 / 1024} MiB as JSON");

    public static readonly string TooMany = string.Create(CultureInfo.InvariantCulture, $"must be at most {MaxProducts}");

    /// <summary>Checks everything that a product says about itself. The skus of the other products are the business of <see cref="SkuRules"/>.</summary>
    /// <param name="product">The product.</param>
    /// <param name="sku">Its sku.</param>
    /// <param name="currency">The currency of its prices, or null if that is an error of its own.</param>
    /// <param name="add">Takes a field of the product and the rule that it breaks.</param>
    public static void Check(ProductInput product, string sku, Currency? currency, Action<string, string> add)
    {
        CheckSku("sku", sku, add);
        CheckName("name", product.Name, MaxName, add);
        if (product.Description is { } description)
        {
            if (description.Length > MaxDescription)
                add("description", string.Create(CultureInfo.InvariantCulture, $"must have at most {MaxDescription} characters"));
            else if (FieldRules.RefuseCharacters(description, multiline: true) is { } rule)
                add("description", rule);
        }

        if (!string.IsNullOrEmpty(product.ImageUrl) && FieldRules.RefuseAddress(product.ImageUrl) is { } refused)
            add("imageUrl", refused);
        CheckOptions(product, add);
        CheckVariants(product, currency, add);
        CheckAmount("price", product.Price, currency, add);
        if (product.Price is null && product.Variants.Count == 0)
            add("price", "is required");
        CheckAmount("compareAtPrice", product.CompareAtPrice, currency, add);
        if (product.CompareAtPrice is { } compareAt && PriceOf(product) is { } price && compareAt <= price)
            add("compareAtPrice", "must be more than the price");
        CheckStock("stock", product.Stock, add);
        if (product.Stock is not null && product.Variants.Count > 0)
            add("stock", "must be given for each variant instead");
    }

    /// <summary>Determines the currency of a product's prices, or the rule that is broken.</summary>
    /// <param name="given">The product's currency, as given.</param>
    /// <param name="shop">The shop's currency, if it has one.</param>
    /// <param name="exception">A currency besides the shop's that the product already has, from the time when shops could have several.</param>
    public static (Currency? Currency, string? Rule) CurrencyOf(string? given, string? shop, string? exception = null) => given switch
    {
        null when (exception ?? shop) is { } code => (Currency.Of(code), null),
        null => (null, "is required, because the shop has no currency yet"),
        _ when !Currency.TryFind(given, out var currency) => (null, "must be an ISO 4217 code such as \"EUR\""),
        _ when given == (shop ?? given) || given == exception => (Currency.Of(given), null),
        _ => (Currency.Of(given), $"must be \"{shop}\": a shop has one currency"),
    };

    /// <summary>The product as it is stored, from input that fulfils the rules: names trimmed, amounts with the currency's decimals, empty optional fields null.</summary>
    public static Product Normalize(ProductInput product, string sku, Currency currency) => new()
    {
        Sku = sku,
        Name = product.Name.Trim(),
        Description = string.IsNullOrWhiteSpace(product.Description) ? null : product.Description,
        Price = currency.Normalize(PriceOf(product)!.Value),
        CompareAtPrice = product.CompareAtPrice is { } compareAt ? currency.Normalize(compareAt) : null,
        Currency = currency.Code,
        ImageUrl = string.IsNullOrEmpty(product.ImageUrl) ? null : product.ImageUrl,
        Options = [.. product.Options.Select(option => option.Trim())],
        Variants = [.. product.Variants.Select(variant => new Variant
        {
            Sku = variant.Sku,
            Values = [.. variant.Values.Select(value => value.Trim())],
            Price = currency.Normalize(variant.Price),
            Stock = variant.Stock,
        })],
        Stock = product.Stock,
    };

    /// <summary>The product's part of its page's address. StoreDeployer and the database derive it in the same way.</summary>
    public static string SlugOf(string sku) => NotUrlSafe().Replace(sku.ToLowerInvariant(), "-").Trim('-');

    /// <summary>The form in which skus are compared.</summary>
    public static string KeyOf(string sku) => sku.ToLowerInvariant();

    public static void CheckName(string field, string name, int max, Action<string, string> add)
    {
        if (FieldRules.RefuseName(name, max) is { } rule)
            add(field, rule);
    }

    public static bool IsSku(string sku) => Sku().IsMatch(sku);

    private static void CheckSku(string field, string sku, Action<string, string> add)
    {
        if (!IsSku(sku))
            add(field, "must be 1 to 64 letters, digits, \".\", \"_\" or \"-\", and begin with a letter or digit");
    }

    private static void CheckAmount(string field, decimal? amount, Currency? currency, Action<string, string> add)
    {
        if (amount is { } given && Currency.RefuseAmount(given, currency) is { } rule)
            add(field, rule);
    }

    private static void CheckStock(string field, int? stock, Action<string, string> add)
    {
        if (stock is < 0 or > MaxStock)
            add(field, string.Create(CultureInfo.InvariantCulture, $"must be between 0 and {MaxStock}"));
    }

    private static void CheckOptions(ProductInput product, Action<string, string> add)
    {
        if (product.Options.Count > MaxOptions)
            add("options", string.Create(CultureInfo.InvariantCulture, $"must be at most {MaxOptions}"));
        else if (product is { Options.Count: > 0, Variants.Count: 0 })
            add("options", "must have variants");
        else if (product is { Options.Count: 0, Variants.Count: > 0 })
            add("options", "must name what the variants differ in");

        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (i, option) in product.Options.Take(MaxOptions).Index())
        {
            var field = string.Create(CultureInfo.InvariantCulture, $"options[{i}]");
            if (option is null)
                add(field, "must not be null");
            else if (FieldRules.RefuseName(option, MaxOptionName) is { } rule)
                add(field, rule);
            else if (!names.Add(option.Trim()))
                add(field, "is the name of another option");
        }
    }

    private static void CheckVariants(ProductInput product, Currency? currency, Action<string, string> add)
    {
        if (product.Variants.Count > MaxVariants)
        {
            add("variants", string.Create(CultureInfo.InvariantCulture, $"must be at most {MaxVariants}"));
            return;
        }

        var combinations = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (i, variant) in product.Variants.Index())
        {
            var field = string.Create(CultureInfo.InvariantCulture, $"variants[{i}]");
            if (variant is null)
            {
                add(field, "must not be null");
                continue;
            }

            CheckSku($"{field}.sku", variant.Sku, add);
            CheckAmount($"{field}.price", variant.Price, currency, add);
            CheckStock($"{field}.stock", variant.Stock, add);
            if (variant.Values.Count != product.Options.Count)
                add($"{field}.values", "must have one value for each option");
            else if (!variant.Values.Contains(null) && !combinations.Add(string.Join('\n', variant.Values.Select(value => value.Trim()))))
                add($"{field}.values", "are those of another variant");
            foreach (var (j, value) in variant.Values.Take(MaxOptions).Index())
            {
                var valueField = string.Create(CultureInfo.InvariantCulture, $"{field}.values[{j}]");
                if (value is null)
                    add(valueField, "must not be null");
                else
                    CheckName(valueField, value, MaxOptionValue, add);
            }
        }
    }

    private static decimal? PriceOf(ProductInput product) =>
        product.Variants.Count > 0 ? product.Variants.Min(variant => variant?.Price) : product.Price;

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z", RegexOptions.NonBacktracking)]
    private static partial Regex Sku();

    [GeneratedRegex("[^a-z0-9]+", RegexOptions.NonBacktracking)]
    private static partial Regex NotUrlSafe();
}
