using System.Globalization;
using Npgsql;
using Platform.Backend.Database;

namespace Platform.Backend.Catalog;

/// <summary>A list of products that has a page of its own.</summary>
public sealed record Collection
{
    /// <summary>The last part of the page's address: 1–63 of a–z, 0–9 and <c>-</c> (not first or last), unique in the shop.</summary>
    public required string Slug { get; init; }

    /// <summary>1–100 characters.</summary>
    public required string Name { get; init; }

    /// <summary>At most 5,000 characters; line breaks are kept.</summary>
    public string? Description { get; init; }

    /// <summary>The skus of the products, in the order of the page.</summary>
    public required IReadOnlyList<string> Skus { get; init; }
}

/// <summary>All collections of a shop, in the order of the store's navigation.</summary>
public sealed record CollectionList
{
    /// <summary>At most 200.</summary>
    public required IReadOnlyList<Collection> Items { get; init; }
}

/// <summary>Reads rows of <c>collections</c>, each with the skus of its products.</summary>
internal static class CollectionRows
{
    /// <summary>The collections of the shop $1, in order.</summary>
    public const string Select =
        """
        select c.slug, c.name, c.description, array(
          select p.sku from collection_products m join products p on p.shop_id = m.shop_id and p.slug = m.product
          where m.shop_id = c.shop_id and m.collection = c.slug order by m.position)
        from collections c where c.shop_id = $1 order by c.position
        """;

    public static Collection Read(NpgsqlDataReader row) => new()
    {
        Slug = row.GetString(0),
        Name = row.GetString(1),
        Description = row.GetNullableString(2),
        Skus = row.GetFieldValue<string[]>(3),
    };
}
