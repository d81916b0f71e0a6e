using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace Platform.StoreDeployer.Rendering;

/// <summary>A variant of a product.</summary>
/// <param name="Sku">Unique in the shop.</param>
/// <param name="Values">The value of each of the product's options, in their order.</param>
/// <param name="Price">In the shop's currency.</param>
/// <param name="Available">False if it is sold out.</param>
internal sealed record VariantSpec(string Sku, IReadOnlyList<string> Values, decimal Price, bool Available = true);

/// <summary>A collection of the shop's products.</summary>
/// <param name="Slug">The last part of its page's address.</param>
/// <param name="Name">For people.</param>
/// <param name="Description">Plain text.</param>
/// <param name="Skus">Its products, in the merchant's order.</param>
internal sealed record CollectionSpec(string Slug, string Name, string? Description = null, IReadOnlyList<string>? Skus = null);

/// <summary>A product of the shop.</summary>
internal sealed partial record ProductSpec(string Sku, string Name, decimal Price, string Currency, string? Description = null, string? ImageUrl = null)
{
    public decimal? CompareAtPrice { get; init; }

    public bool Available { get; init; } = true;

    /// <summary>The names of the variants' options, such as Size and Colour.</summary>
    public IReadOnlyList<string> Options { get; init; } = [];

    public IReadOnlyList<VariantSpec> Variants { get; init; } = [];

    [JsonIgnore]
    public decimal LowestPrice => Variants.Count == 0 ? Price : Variants.Min(variant => variant.Price);

    [JsonIgnore]
    public decimal HighestPrice => Variants.Count == 0 ? Price : Variants.Max(variant => variant.Price);

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
    /// <summary>ISO 4217 code; that of the products if the shop has none.</summary>
    public string Currency { get; init; } = Products.Count > 0 ? Products[0].Currency : "EUR";

    /// <summary>BCP 47 tag.</summary>
    public string Locale { get; init; } = "en";

    public IReadOnlyList<CollectionSpec> Collections { get; init; } = [];

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
    public static string Link(string root, string path) => root + Folder(path) is { Length: > 0 } link ? link : "./";

    /// <summary>The path in addresses: an index page's is its folder.</summary>
    public static string Folder(string path) => path == Index ? "" : path.EndsWith("/" + Index, StringComparison.Ordinal) ? path[..^Index.Length] : path;

    /// <summary>The path of a page of a list that is spread over several: <c>products/index.html</c> and <c>products/page-2/index.html</c>.</summary>
    public static string Numbered(string path, int number) => number == 1 ? path : $"{path[..^Index.Length]}page-{number}/{Index}";
}
