using System.Globalization;
using Npgsql;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Catalog;

/// <summary>Lists all products of a shop, which must be the caller's.</summary>
internal sealed class ListAllProducts(PostgresDatabase database)
{
    /// <summary>All of them, in the merchant's order.</summary>
    public Task<List<Product>> ExecuteAsync(Guid shopId, CancellationToken cancellationToken) =>
        database.ListAsync(ProductRows.SelectOfShop, [shopId, int.MaxValue], ProductRows.Read, cancellationToken);
}
