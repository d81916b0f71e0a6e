using System.Globalization;
using Npgsql;
using Platform.Backend.Database;

namespace Platform.Backend.Catalog;

/// <summary>The skus of a shop's products and variants, each of which must be unique.</summary>
internal sealed class SkuRules
{
    // By slug, the product's sku.
    private readonly Dictionary<string, string> _products = new(StringComparer.Ordinal);
    private readonly HashSet<string> _keys = new(StringComparer.Ordinal);

    /// <summary>Adds a product.</summary>
    /// <param name="sku">The product's sku.</param>
    /// <param name="variants">The skus of its variants.</param>
    /// <param name="add">Takes a field of the product and the rule that it breaks.</param>
    public void Add(string sku, IEnumerable<string?> variants, Action<string, string> add)
    {
        if (!_keys.Add(ProductRules.KeyOf(sku)))
            add("sku", Used(sku));
        else if (!_products.TryAdd(ProductRules.SlugOf(sku), sku))
            add("sku", $"\"{sku}\" would have the same page address as another product, \"{_products[ProductRules.SlugOf(sku)]}\"");
        foreach (var (i, variant) in variants.Index())
        {
            if (variant is not null && !_keys.Add(ProductRules.KeyOf(variant)))
                add(string.Create(CultureInfo.InvariantCulture, $"variants[{i}].sku"), Used(variant));
        }
    }

    private static string Used(string sku) => $"\"{sku}\" is used by another product or variant (upper and lower case count as the same)";
}

/// <summary>What must be known of a stored product before others are saved.</summary>
/// <param name="Sku">The product's sku.</param>
/// <param name="Position">Its position.</param>
/// <param name="Currency">Its currency.</param>
/// <param name="Reserved">How many are reserved, by the keys of its sku and its variants' skus.</param>
internal sealed record StoredSkus(string Sku, int Position, string Currency, IReadOnlyDictionary<string, int> Reserved)
{
    public string Slug { get; } = ProductRules.SlugOf(Sku);

    public string Key { get; } = ProductRules.KeyOf(Sku);

    /// <summary>Reads the skus of a shop's products, or only of those that could be in conflict with <paramref name="product"/>. The shop must be locked.</summary>
    public static async Task<List<StoredSkus>> ReadAsync(NpgsqlTransaction transaction, Guid shopId, Product? product, CancellationToken cancellationToken)
    {
        await using var command = transaction.Command(
            """
            select p.sku, p.position, p.currency, p.reserved, v.sku, v.reserved
            from products p left join variants v on v.shop_id = p.shop_id and v.product = p.slug
            where p.shop_id = $1 and ($2::text is null or p.slug = $2 or lower(p.sku) = any($3)
              or exists (select from variants o where o.shop_id = p.shop_id and o.product = p.slug and o.key = any($3)))
            order by p.slug
            """,
            shopId, product?.Slug, product is null ? Array.Empty<string>() : KeysOf(product).ToArray());
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var found = new List<StoredSkus>();
        while (await reader.ReadAsync(cancellationToken))
        {
            if (found.Count == 0 || found[^1].Sku != reader.GetString(0))
            {
                found.Add(new(reader.GetString(0), reader.GetInt32(1), reader.GetString(2),
                    new Dictionary<string, int>(StringComparer.Ordinal) { [ProductRules.KeyOf(reader.GetString(0))] = reader.GetInt32(3) }));
            }

            if (!reader.IsDBNull(4))
                ((Dictionary<string, int>)found[^1].Reserved)[ProductRules.KeyOf(reader.GetString(4))] = reader.GetInt32(5);
        }

        return found;
    }

    private static IEnumerable<string> KeysOf(Product product) => product.Variants.Select(variant => variant.Sku).Prepend(product.Sku).Select(ProductRules.KeyOf);
}
