using Dapper;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// The lock that orders whatever changes a shop's deployments or pointer. It is always taken before locks on the shop's deployments; a claim,
/// which takes one of those only, skips what is locked.
/// </summary>
internal static class ShopLock
{
    public static Task TakeAsync(NpgsqlTransaction transaction, Guid shopId, CancellationToken cancellationToken) =>
        transaction.Connection!.ExecuteAsync(new CommandDefinition(
            "select from stores where shop_id = @shopId for update", new { shopId }, transaction, cancellationToken: cancellationToken));

    /// <summary>
    /// Takes the lock of the lease's shop and then the deployment's, as <see cref="LeaseChecks.AssertHeldAsync"/> does, and runs <paramref name="then"/>, all in one
    /// round trip. What it does is undone with the transaction when the lease turns out to be lost.
    /// </summary>
    /// <exception cref="LeaseLostException">The lease is lost.</exception>
    public static async Task TakeWithLeaseAsync(NpgsqlTransaction transaction, DeploymentLease lease, Statements then, CancellationToken cancellationToken)
    {
        await using var results = await transaction.Connection!.QueryMultipleAsync(Take(lease).Then(then).In(transaction, cancellationToken));
        await results.ReadAsync<int>();
        if (!await results.ReadSingleOrDefaultAsync<bool>())
            throw new LeaseLostException(lease);
    }

    /// <summary>Takes the same locks, and reads one row with <paramref name="sql"/> once they are there.</summary>
    /// <exception cref="LeaseLostException">The lease is lost.</exception>
    public static async Task<T> TakeWithLeaseAsync<T>(NpgsqlTransaction transaction, DeploymentLease lease, string sql, CancellationToken cancellationToken)
    {
        await using var results = await transaction.Connection!.QueryMultipleAsync(Take(lease).Then(new(sql, new { })).In(transaction, cancellationToken));
        await results.ReadAsync<int>();
        var held = await results.ReadSingleOrDefaultAsync<bool>();
        // read in any case: results that are left are cancelled
        var row = await results.ReadSingleAsync<T>();
        return held ? row : throw new LeaseLostException(lease);
    }

    private static Statements Take(DeploymentLease lease) =>
        new($"select 1 from stores where shop_id = @ShopId for update; {LeaseChecks.Sql}", new { lease.ShopId, lease.Id, lease.Worker, lease.FencingToken });
}
