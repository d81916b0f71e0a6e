using System.Security.Cryptography;
using System.Text.Json;
using Npgsql;
using NpgsqlTypes;
using Platform.Backend.Database;
using Platform.Backend.Deployments;
using Platform.ServiceDefaults;

namespace Platform.Backend.Catalog;

/// <summary>
/// Writes products with their variants. Products that don't change are not touched. Stock that is null stays as it is. The shop must be locked, and its edit counted
/// afterwards (<see cref="CountEdit"/>).
/// </summary>
internal static class SaveProducts
{
    // What "available": false adds to a product, which its content here doesn't have.
    private const int AvailableSize = 20;

    /// <summary>How many products were created and changed. If the shop's products break a rule now, the transaction must be rolled back.</summary>
    public static async Task<(int Created, int Updated, string? BrokenRule)> ExecuteAsync(
        NpgsqlTransaction transaction, Guid shopId, IReadOnlyList<Product> products, CancellationToken cancellationToken)
    {
        if (products.Count == 0)
            return (0, 0, null);

        await using var batch = new NpgsqlBatch(transaction.Connection, transaction) { BatchCommands = { Products(shopId, products), RemovedVariants(shopId, products) } };
        if (products.Any(product => product.Variants.Count > 0))
            batch.BatchCommands.Add(Variants(shopId, products));

        batch.BatchCommands.Add(Sql.BatchCommand("select count(*), sum(size) from products where shop_id = $1", shopId));

        await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
        var created = await reader.ListAsync(row => row.GetBoolean(0), cancellationToken);
        await reader.NextResultAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        var brokenRule = reader.GetInt64(0) > ProductRules.MaxProducts ? ProductRules.TooMany : reader.GetInt64(1) > ProductRules.MaxTotalSize ? ProductRules.TooLarge : null;
        return (created.Count(isNew => isNew), created.Count(isNew => !isNew), brokenRule);
    }

    private static NpgsqlBatchCommand Products(Guid shopId, IReadOnlyList<Product> products)
    {
        var contents = products.Select(product => JsonSerializer.SerializeToUtf8Bytes(SnapshotProduct.Of(WithoutStock(product)), PlatformJson.Tolerant)).ToList();
        return Sql.BatchCommand(
            """
            insert into products as p (shop_id, sku, position, name, description, currency, price, compare_at_price, image_url, options, stock, size, digest)
            select $1, sku, position, name, description, currency, price, compare_at_price, image_url, options::jsonb, stock, size, digest
            from unnest($2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::integer[], $12::integer[], $13::bytea[])
              as saved (sku, position, name, description, currency, price, compare_at_price, image_url, options, stock, size, digest)
            on conflict (shop_id, slug) do update
            set sku = excluded.sku, position = excluded.position, name = excluded.name, description = excluded.description, currency = excluded.currency, price = excluded.price,
                compare_at_price = excluded.compare_at_price, image_url = excluded.image_url, options = excluded.options,
                stock = case when excluded.options = '[]' then coalesce(excluded.stock, p.stock) end,
                size = excluded.size, digest = excluded.digest, version = p.version + 1
            where (p.digest, p.position) is distinct from (excluded.digest, excluded.position) or p.stock is distinct from coalesce(excluded.stock, p.stock)
            returning xmax = 0
            """,
            shopId,
            Array(products, product => product.Sku),
            Array(products, product => product.Position),
            Array(products, product => product.Name),
            Array(products, product => product.Description),
            Array(products, product => product.Currency),
            Array(products, product => Currency.Of(product.Currency).ToMinorUnits(product.Price)),
            Array(products, product => product.CompareAtPrice is { } compareAt ? Currency.Of(product.Currency).ToMinorUnits(compareAt) : (long?)null),
            Array(products, product => product.ImageUrl),
            Array(products, product => JsonSerializer.Serialize(product.Options, PlatformJson.Tolerant)),
            Array(products, product => product.Stock),
            contents.Select(content => content.Length + AvailableSize).ToArray(),
            new NpgsqlParameter { Value = contents.Select(content => SHA256.HashData(content)).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea });
    }

    private static NpgsqlBatchCommand RemovedVariants(Guid shopId, IReadOnlyList<Product> products) => Sql.BatchCommand(
        "delete from variants where shop_id = $1 and product = any($2) and not key = any($3)",
        shopId,
        Array(products, product => product.Slug),
        products.SelectMany(product => product.Variants).Select(variant => ProductRules.KeyOf(variant.Sku)).ToArray());

    private static NpgsqlBatchCommand Variants(Guid shopId, IReadOnlyList<Product> products)
    {
        var variants = products.SelectMany(product => product.Variants.Index(), (product, variant) => (Product: product, variant.Index, Variant: variant.Item)).ToList();
        return Sql.BatchCommand(
            """
            insert into variants as v (shop_id, product, sku, position, option_values, price, stock)
            select $1, product, sku, position, option_values::jsonb, price, stock
            from unnest($2::text[], $3::text[], $4::integer[], $5::text[], $6::bigint[], $7::integer[]) as saved (product, sku, position, option_values, price, stock)
            on conflict (shop_id, key) do update
            set product = excluded.product, sku = excluded.sku, position = excluded.position, option_values = excluded.option_values, price = excluded.price,
                stock = coalesce(excluded.stock, v.stock)
            where (v.product, v.sku, v.position, v.option_values, v.price) is distinct from (excluded.product, excluded.sku, excluded.position, excluded.option_values, excluded.price)
              or v.stock is distinct from coalesce(excluded.stock, v.stock)
            """,
            shopId,
            Array(variants, entry => entry.Product.Slug),
            Array(variants, entry => entry.Variant.Sku),
            Array(variants, entry => entry.Index),
            Array(variants, entry => JsonSerializer.Serialize(entry.Variant.Values, PlatformJson.Tolerant)),
            Array(variants, entry => Currency.Of(entry.Product.Currency).ToMinorUnits(entry.Variant.Price)),
            Array(variants, entry => entry.Variant.Stock));
    }

    private static Product WithoutStock(Product product) =>
        product with { Stock = null, Variants = [.. product.Variants.Select(variant => variant with { Stock = null })] };

    private static TValue[] Array<T, TValue>(IEnumerable<T> rows, Func<T, TValue> value) => [.. rows.Select(value)];
}

/// <summary>Counts an edit of a shop's products, after they are written. This also brings the document up to date that a former version reads (see the migration).</summary>
internal static class CountEdit
{
    /// <summary>A shop without a currency gets that of its first product, <paramref name="currency"/>.</summary>
    public static async Task ExecuteAsync(NpgsqlTransaction transaction, Guid shopId, string? currency, DateTimeOffset now, CancellationToken cancellationToken)
    {
        await using var command = transaction.Command(
            "update shops set version = version + 1, updated_at = $2, currency = coalesce(currency, $3) where id = $1", shopId, now, currency);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
