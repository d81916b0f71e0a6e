using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using Platform.Backend.Catalog;

namespace Platform.Backend.Shops;

/// <summary>A shop: the merchant's content, and the state of its store.</summary>
public sealed record Shop : ShopDetails
{
    [SetsRequiredMembers]
    internal Shop(ShopDetails details, IReadOnlyList<ShopProduct> products) : base(details) => Products = products;

    /// <summary>All of the shop's products, in the order of the store's pages; <c>/products</c> lists them in pages, with variants and stock.</summary>
    [JsonPropertyOrder(2)]
    public required IReadOnlyList<ShopProduct> Products { get; init; }
}

/// <summary>A shop without its products.</summary>
public record ShopDetails : ShopSummary
{
    /// <summary>Values for the template's parameters, by name; absent ones have the template's defaults.</summary>
    [JsonPropertyOrder(1)]
    public required IReadOnlyDictionary<string, JsonElement> Settings { get; init; }

    /// <summary>The ISO 4217 code of the currency of all products; absent before the first product.</summary>
    [JsonPropertyOrder(1)]
    public string? Currency { get; init; }

    /// <summary>The language of the store and how it writes prices and dates, as a BCP 47 tag such as <c>de-CH</c>.</summary>
    [JsonPropertyOrder(1)]
    public required string Locale { get; init; }

    /// <summary>Counts the merchant's edits, from 1.</summary>
    internal int Version { get; init; }

    /// <summary>Counts the platform's changes: of the status, the url and the release.</summary>
    internal int Changes { get; init; }

    /// <summary>The digest of the template's bundle.</summary>
    internal string TemplateDigest { get; init; } = "";

    /// <summary>The live release.</summary>
    internal Guid? Release { get; init; }

    /// <summary>How many products the shop has.</summary>
    internal int ProductCount { get; init; }
}

/// <summary>The values of a shop's status.</summary>
public static class ShopStatus
{
    /// <summary>Never deployed successfully.</summary>
    public const string Draft = "draft";

    /// <summary>The shop's store is live.</summary>
    public const string Live = "live";

    /// <summary>The store is being taken down; then the shop is deleted.</summary>
    public const string Deleting = "deleting";
}

/// <summary>A shop in a list, without its settings and products.</summary>
public record ShopSummary
{
    /// <summary>The shop's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>The last part of the store's address; it never changes.</summary>
    public required string Slug { get; init; }

    /// <summary>The shop's name, as visitors see it.</summary>
    public required string Name { get; init; }

    /// <summary>The template and the version that the next deployment uses.</summary>
    public required ShopTemplate Template { get; init; }

    /// <summary><c>draft</c> until its first deployment is live, then <c>live</c>; <c>deleting</c> while the store is being taken down.</summary>
    public required string Status { get; init; }

    /// <summary>The live store's address.</summary>
    public string? Url { get; init; }

    /// <summary>When the shop was created, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When the merchant last changed the shop, UTC.</summary>
    public required DateTimeOffset UpdatedAt { get; init; }

    /// <summary>The shop's owner.</summary>
    public required Guid OwnerId { get; init; }
}

/// <summary>A version of a template.</summary>
/// <param name="Name">The template's name.</param>
/// <param name="Version">The semantic version.</param>
public sealed record ShopTemplate(string Name, string Version);

/// <summary>A product in a shop's list. <c>/products</c> has also its variants and stock.</summary>
public sealed record ShopProduct
{
    /// <summary>The merchant's number for it, unique in the shop (ignoring case): 1–64 letters, digits, <c>.</c>, <c>_</c> or <c>-</c>.</summary>
    public required string Sku { get; init; }

    /// <summary>1–200 characters.</summary>
    public required string Name { get; init; }

    /// <summary>At most 5,000 characters; line breaks are kept.</summary>
    public string? Description { get; init; }

    /// <summary>0–1,000,000,000, with at most as many decimals as the currency has. The price of a product with variants is the lowest of theirs, whatever is given.</summary>
    public required decimal Price { get; init; }

    /// <summary>The ISO 4217 code, such as <c>EUR</c>; the same for all products of a shop.</summary>
    public required string Currency { get; init; }

    /// <summary>An http or https address, or a path that starts with <c>/</c>; at most 2,000 characters.</summary>
    public string? ImageUrl { get; init; }

    internal static ShopProduct Of(Product product) => new()
    {
        Sku = product.Sku,
        Name = product.Name,
        Description = product.Description,
        Price = product.Price,
        Currency = product.Currency,
        ImageUrl = product.ImageUrl,
    };

    internal ProductInput ToInput() =>
        new NewProduct { Sku = Sku, Name = Name, Description = Description, Price = Price, Currency = Currency, ImageUrl = ImageUrl };
}

/// <summary>A new shop.</summary>
public sealed record NewShop : ShopInput
{
    /// <summary>The last part of the store's address: 1–63 of a–z, 0–9 and <c>-</c> (not first or last). It cannot be changed later.</summary>
    public required string Slug { get; init; }
}

/// <summary>A shop's new content; omitted fields become empty.</summary>
public sealed record ShopReplacement : ShopInput
{
    /// <summary>Optional; if given, it must be the shop's slug.</summary>
    public string? Slug { get; init; }

    /// <summary>Leave the products as they are, whatever <see cref="ShopInput.Products"/> says.</summary>
    internal bool KeepsProducts { get; init; }
}

/// <summary>The content of a shop that merchants edit.</summary>
public abstract record ShopInput
{
    /// <summary>The name that visitors see; 1–100 characters.</summary>
    public required string Name { get; init; }

    /// <summary>The template.</summary>
    public required ChosenTemplate Template { get; init; }

    /// <summary>Values for the template's parameters, by name.</summary>
    public IReadOnlyDictionary<string, JsonElement> Settings { get; init; } = new Dictionary<string, JsonElement>();

    /// <summary>The ISO 4217 code of the currency of all products; by default that of <see cref="Products"/>.</summary>
    public string? Currency { get; init; }

    /// <summary>The language of the store, as a BCP 47 tag such as <c>en</c>, <c>de-CH</c> or <c>zh-Hant-TW</c>.</summary>
    public string Locale { get; init; } = "en";

    /// <summary>
    /// The whole list, in the order of the store's pages; at most 500. Products that stay keep their variants, stock and collections. A shop with more products
    /// keeps them all if this is omitted.
    /// </summary>
    public IReadOnlyList<ShopProduct> Products
    {
        get;
        init
        {
            field = value;
            HasProducts = true;
        }
    } = [];

    /// <summary>Whether <see cref="Products"/> is given, possibly empty.</summary>
    internal bool HasProducts { get; private init; }
}

/// <summary>The template of a shop.</summary>
public sealed record ChosenTemplate
{
    /// <summary>The template's name.</summary>
    public required string Name { get; init; }

    /// <summary>The version; by default the latest published one.</summary>
    public string? Version { get; init; }
}
