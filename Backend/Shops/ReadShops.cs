using Npgsql;
using Platform.Backend.Catalog;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Shops;

/// <summary>Finds one of the caller's shops.</summary>
internal sealed class FindShop(Caller caller, PostgresDatabase database)
{
    private const string Select = $"select {ShopRows.Columns} from shops where id = $1 and ($2::uuid is null or owner_id = $2)";

    /// <summary>The shop with up to <paramref name="maxProducts"/> of its products, or null if the caller has none with this id.</summary>
    public Task<Shop?> ExecuteAsync(Guid id, CancellationToken cancellationToken, int maxProducts = int.MaxValue) => database.ReadAsync(async connection =>
    {
        // The shop first: if it is edited in between, its tag is too old rather than too new, so that nothing is overwritten or cached wrongly.
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands = { Sql.BatchCommand(Select, id, caller.OnlyOf), Sql.BatchCommand(ProductRows.SelectOfShop, id, maxProducts) },
        };
        await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
        if (!await reader.ReadAsync(cancellationToken))
            return null;
        var details = ShopRows.Read(reader);
        await reader.NextResultAsync(cancellationToken);
        return new Shop(details, await reader.ListAsync(row => ShopProduct.Of(ProductRows.Read(row)), cancellationToken));
    }, cancellationToken);

    /// <summary>The shop without its products, or null if the caller has none with this id.</summary>
    public Task<ShopDetails?> FindDetailsAsync(Guid id, CancellationToken cancellationToken) =>
        database.FindAsync(Select, [id, caller.OnlyOf], ShopRows.Read, cancellationToken);
}

/// <summary>Lists the caller's shops, newest first.</summary>
internal sealed class ListShops(Caller caller, PostgresDatabase database)
{
    /// <summary>Up to <paramref name="limit"/> shops older than the one with the id <paramref name="after"/>, or the newest ones.</summary>
    public async Task<Page<ShopSummary>> ExecuteAsync(Guid? after, int limit, CancellationToken cancellationToken)
    {
        var shops = await database.ListAsync(
            """
            select id, slug, name, template_name, template_version, status, url, created_at, updated_at, owner_id
            from shops where ($1::uuid is null or id < $1) and ($2::uuid is null or owner_id = $2)
            order by id desc limit $3
            """,
            [after, caller.OnlyOf, limit + 1],
            row => new ShopSummary
            {
                Id = row.GetGuid(0),
                Slug = row.GetString(1),
                Name = row.GetString(2),
                Template = new(row.GetString(3), row.GetString(4)),
                Status = row.GetString(5),
                Url = row.GetNullableString(6),
                CreatedAt = row.GetFieldValue<DateTimeOffset>(7),
                UpdatedAt = row.GetFieldValue<DateTimeOffset>(8),
                OwnerId = row.GetGuid(9),
            },
            cancellationToken);
        return Page.Of(shops, limit, shop => shop.Id);
    }
}

/// <summary>Lists the ids of the caller's shops, which are the partition keys of their messages.</summary>
internal sealed class ListShopIds(Caller caller, PostgresDatabase database)
{
    /// <summary>The ids; null means all shops, if the caller is an administrator.</summary>
    public async Task<IReadOnlySet<Guid>?> ExecuteAsync(CancellationToken cancellationToken) => caller.OnlyOf is { } owner
        ? (await database.ListAsync("select id from shops where owner_id = $1", [owner], row => row.GetGuid(0), cancellationToken)).ToHashSet()
        : null;
}
