using Platform.Backend.Database;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Shops;

/// <summary>Finds one shop.</summary>
internal sealed class FindShop(PostgresDatabase database)
{
    /// <summary>The shop, or null when there is none of that id (any more).</summary>
    public Task<Shop?> ExecuteAsync(Guid id, CancellationToken cancellationToken) => database.ReadAsync<Shop?>(async connection =>
    {
        await using var command = connection.Command($"select {ShopRows.Columns} from shops where id = $1", id);
        return await command.ReadShopAsync(cancellationToken);
    }, cancellationToken);
}

/// <summary>Lists shops, the newest first.</summary>
internal sealed class ListShops(PostgresDatabase database)
{
    /// <summary>Up to <paramref name="limit"/> shops older than the one of the id <paramref name="after"/>, or the newest ones.</summary>
    public Task<Page<ShopSummary>> ExecuteAsync(Guid? after, int limit, CancellationToken cancellationToken) => database.ReadAsync(async connection =>
    {
        await using var command = connection.Command(
            """
            select id, slug, name, template_name, template_version, status, url, created_at, updated_at
            from shops where $1::uuid is null or id < $1
            order by id desc limit $2
            """,
            after, limit + 1);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var shops = new List<ShopSummary>();
        while (await reader.ReadAsync(cancellationToken))
        {
            shops.Add(new ShopSummary
            {
                Id = reader.GetGuid(0),
                Slug = reader.GetString(1),
                Name = reader.GetString(2),
                Template = new(reader.GetString(3), reader.GetString(4)),
                Status = reader.GetString(5),
                Url = reader.GetNullableString(6),
                CreatedAt = reader.GetFieldValue<DateTimeOffset>(7),
                UpdatedAt = reader.GetFieldValue<DateTimeOffset>(8),
            });
        }

        return Page.Of(shops, limit, shop => shop.Id);
    }, cancellationToken);
}
