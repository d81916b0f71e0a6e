using System.Text.Json.Serialization;

namespace Platform.Backend.Catalog;

/// <summary>A product of a shop.</summary>
public sealed record Product
{
    /// <summary>The merchant's number for it, unique among the skus of the shop's products and variants (ignoring case).</summary>
    public required string Sku { get; init; }

    /// <summary>The name that visitors see.</summary>
    public required string Name { get; init; }

    /// <summary>Plain text with line breaks.</summary>
    public string? Description { get; init; }

    /// <summary>With as many decimals as the currency has. With variants, the lowest of their prices.</summary>
    public required decimal Price { get; init; }

    /// <summary>The former or recommended price, more than the price.</summary>
    public decimal? CompareAtPrice { get; init; }

    /// <summary>The ISO 4217 code; the shop's currency.</summary>
    public required string Currency { get; init; }

    /// <summary>The image's http or https address, or a path that starts with <c>/</c>.</summary>
    public string? ImageUrl { get; init; }

    /// <summary>What the variants differ in, such as <c>Size</c>.</summary>
    public IReadOnlyList<string> Options { get; init; } = [];

    /// <summary>What can be bought instead of the product itself, such as its sizes.</summary>
    public IReadOnlyList<Variant> Variants { get; init; } = [];

    /// <summary>How many are in stock, those reserved by checkouts included; absent if stock is not tracked, or by variant.</summary>
    public int? Stock { get; init; }

    /// <summary>False when the product, or each of its variants, is sold out.</summary>
    public bool Available => Variants.Count > 0 ? Variants.Any(variant => variant.Available) : !(Stock <= Reserved);

    internal int Reserved { get; init; }

    internal int Position { get; init; }

    internal int Version { get; init; }

    /// <summary>Identifies the product in its shop: the part of its page's address. Skus that differ only in case have the same one.</summary>
    [JsonIgnore]
    internal string Slug => ProductRules.SlugOf(Sku);
}

/// <summary>A variant of a product.</summary>
public sealed record Variant
{
    /// <summary>The merchant's number for it, unique like a product's.</summary>
    public required string Sku { get; init; }

    /// <summary>One value for each of the product's options, such as <c>M</c>.</summary>
    public required IReadOnlyList<string> Values { get; init; }

    /// <summary>With as many decimals as the currency has.</summary>
    public required decimal Price { get; init; }

    /// <summary>How many are in stock, those reserved by checkouts included; absent if stock is not tracked.</summary>
    public int? Stock { get; init; }

    /// <summary>False when it is sold out.</summary>
    public bool Available => !(Stock <= Reserved);

    internal int Reserved { get; init; }
}

/// <summary>A new product.</summary>
public sealed record NewProduct : ProductInput
{
    /// <summary>The merchant's number for it, unique among the skus of the shop's products and variants (ignoring case): 1–64 letters, digits, <c>.</c>, <c>_</c> or <c>-</c>.</summary>
    public required string Sku { get; init; }
}

/// <summary>A product's new content; omitted fields become empty, except for stock, which stays as it is.</summary>
public sealed record ProductReplacement : ProductInput
{
    /// <summary>Optional; if given, it must be the product's.</summary>
    public string? Sku { get; init; }
}

/// <summary>The content of a product that merchants edit.</summary>
public abstract record ProductInput
{
    /// <summary>1–200 characters.</summary>
    public required string Name { get; init; }

    /// <summary>At most 5,000 characters; line breaks are kept.</summary>
    public string? Description { get; init; }

    /// <summary>0–1,000,000,000, with at most as many decimals as the currency has. Required unless there are variants: then it is the lowest of their prices, whatever is given.</summary>
    public decimal? Price { get; init; }

    /// <summary>The former or recommended price; more than the price.</summary>
    public decimal? CompareAtPrice { get; init; }

    /// <summary>Optional; if given, it must be the shop's. A shop without a currency takes that of its first product.</summary>
    public string? Currency { get; init; }

    /// <summary>An http or https address, or a path that starts with <c>/</c>; at most 2,000 characters.</summary>
    public string? ImageUrl { get; init; }

    /// <summary>What the variants differ in, such as <c>Size</c>; at most 3.</summary>
    public IReadOnlyList<string> Options { get; init; } = [];

    /// <summary>At most 100.</summary>
    public IReadOnlyList<VariantInput> Variants { get; init; } = [];

    /// <summary>How many are in stock. Absent: not tracked if the product is new, otherwise unchanged.</summary>
    public int? Stock { get; init; }

    /// <summary>Whether this changes any stock.</summary>
    internal bool SetsStock => Stock is not null || Variants.Any(variant => variant?.Stock is not null);
}

/// <summary>A variant that merchants edit.</summary>
public sealed record VariantInput
{
    /// <summary>The merchant's number for it, unique like a product's.</summary>
    public required string Sku { get; init; }

    /// <summary>One value for each of the product's options; 1–100 characters each.</summary>
    public required IReadOnlyList<string> Values { get; init; }

    /// <summary>0–1,000,000,000, with at most as many decimals as the currency has.</summary>
    public required decimal Price { get; init; }

    /// <summary>How many are in stock. Absent: not tracked if the variant is new, otherwise unchanged.</summary>
    public int? Stock { get; init; }
}

/// <summary>A change of stock: one of the two.</summary>
public sealed record StockChange
{
    /// <summary>How many more there are; negative for fewer.</summary>
    public int? Change { get; init; }

    /// <summary>How many there are; null to stop tracking.</summary>
    public int? Set
    {
        get;
        init
        {
            field = value;
            IsSet = true;
        }
    }

    /// <summary>Whether <see cref="Set"/> is given, possibly as null.</summary>
    internal bool IsSet { get; private init; }
}

/// <summary>The stock of a sku.</summary>
/// <param name="Sku">The product's or variant's sku.</param>
/// <param name="Stock">How many there are, those reserved included; absent if stock is not tracked.</param>
/// <param name="Reserved">How many of them are reserved by checkouts.</param>
public sealed record StockLevel(string Sku, int? Stock, int Reserved)
{
    /// <summary>Whether any can be bought.</summary>
    public bool Available => !(Stock <= Reserved);
}
