using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Shops;

/// <summary>Finds one of the caller's shops.</summary>
internal sealed class FindShop(Caller caller, PostgresDatabase database)
{
    /// <summary>The shop, or null if the caller has none with this id.</summary>
    public Task<Shop?> ExecuteAsync(Guid id, CancellationToken cancellationToken) => database.ReadAsync<Shop?>(async connection =>
    {
        await using var command = connection.Command($"select {ShopRows.Columns} from shops where id = $1 and ($2::uuid is null or owner_id = $2)", id, caller.OnlyOf);
        return await command.ReadShopAsync(cancellationToken);
    }, cancellationToken);
}

/// <summary>Lists the caller's shops, newest first.</summary>
internal sealed class ListShops(Caller caller, PostgresDatabase database)
{
    /// <summary>Up to <paramref name="limit"/> shops older than the one with the id <paramref name="after"/>, or the newest ones.</summary>
    public Task<Page<ShopSummary>> ExecuteAsync(Guid? after, int limit, CancellationToken cancellationToken) => database.ReadAsync(async connection =>
    {
        await using var command = connection.Command(
            """
            select id, slug, name, template_name, template_version, status, url, created_at, updated_at, owner_id
            from shops where ($1::uuid is null or id < $1) and ($2::uuid is null or owner_id = $2)
            order by id desc limit $3
            """,
            after, caller.OnlyOf, limit + 1);
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
                OwnerId = reader.GetGuid(9),
            });
        }

        return Page.Of(shops, limit, shop => shop.Id);
    }, cancellationToken);
}

/// <summary>Lists the ids of the caller's shops, which are the partition keys of their messages.</summary>
internal sealed class ListShopIds(Caller caller, PostgresDatabase database)
{
    /// <summary>The ids; null means all shops, if the caller is an administrator.</summary>
    public async Task<IReadOnlySet<Guid>?> ExecuteAsync(CancellationToken cancellationToken) => caller.OnlyOf is not { } owner ? null : await database.ReadAsync(async connection =>
    {
        await using var command = connection.Command("select id from shops where owner_id = $1", owner);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var ids = new HashSet<Guid>();
        while (await reader.ReadAsync(cancellationToken))
            ids.Add(reader.GetGuid(0));
        return ids;
    }, cancellationToken);
}
