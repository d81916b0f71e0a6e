using System.Text.Json;
using Npgsql;
using Platform.Backend.Database;

namespace Platform.Backend.Catalog;

/// <summary>Reads rows of <c>products</c>, each with its <c>variants</c>.</summary>
internal static class ProductRows
{
    /// <summary>The columns, of <c>products p</c>.</summary>
    public const string Columns =
        """
        p.sku, p.position, p.name, p.description, p.currency, p.price, p.compare_at_price, p.image_url, p.options, p.stock, p.reserved, p.version,
        case when p.options <> '[]' then (
          select json_agg(json_build_object('sku', v.sku, 'values', v.option_values, 'price', v.price, 'stock', v.stock, 'reserved', v.reserved) order by v.position)
          from variants v where v.shop_id = p.shop_id and v.product = p.slug) end
        """;

    /// <summary>All products of the shop $1 in the merchant's order, up to $2.</summary>
    public const string SelectOfShop = $"select {Columns} from products p where p.shop_id = $1 order by p.position limit $2";

    public static Product Read(NpgsqlDataReader row)
    {
        var currency = Currency.Of(row.GetString(4));
        return new()
        {
            Sku = row.GetString(0),
            Position = row.GetInt32(1),
            Name = row.GetString(2),
            Description = row.GetNullableString(3),
            Currency = currency.Code,
            Price = currency.FromMinorUnits(row.GetInt64(5)),
            CompareAtPrice = row.GetNullable<long>(6) is { } compareAt ? currency.FromMinorUnits(compareAt) : null,
            ImageUrl = row.GetNullableString(7),
            Options = row.GetJson<List<string>>(8),
            Stock = row.GetNullable<int>(9),
            Reserved = row.GetInt32(10),
            Version = row.GetInt32(11),
            Variants = row.IsDBNull(12) ? [] : [.. row.GetJson<List<VariantRow>>(12).Select(variant => variant.ToVariant(currency))],
        };
    }

    /// <summary>Reads all products of a shop within a transaction.</summary>
    public static async Task<List<Product>> ReadProductsAsync(this NpgsqlTransaction transaction, Guid shopId, CancellationToken cancellationToken)
    {
        await using var command = transaction.Command(SelectOfShop, shopId, int.MaxValue);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ListAsync(Read, cancellationToken);
    }

    /// <summary>Finds a product by its sku (ignoring case) within a transaction.</summary>
    public static async Task<Product?> FindProductAsync(this NpgsqlTransaction transaction, Guid shopId, string sku, CancellationToken cancellationToken)
    {
        await using var command = transaction.Command(
            $"select {Columns} from products p where p.shop_id = $1 and p.slug = product_slug($2) and lower(p.sku) = lower($2)", shopId, sku);
        return await command.FindAsync(Read, cancellationToken);
    }

    private sealed record VariantRow(string Sku, IReadOnlyList<string> Values, long Price, int? Stock, int Reserved)
    {
        public Variant ToVariant(Currency currency) =>
            new() { Sku = Sku, Values = Values, Price = currency.FromMinorUnits(Price), Stock = Stock, Reserved = Reserved };
    }
}
