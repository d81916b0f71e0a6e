using Dapper;
using Npgsql;

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

    /// <summary>Takes the lock of the lease's shop, and then the deployment's as <see cref="LeaseChecks.AssertHeldAsync"/> does, in one round trip.</summary>
    /// <exception cref="LeaseLostException">The lease is lost.</exception>
    public static Task TakeWithLeaseAsync(NpgsqlTransaction transaction, DeploymentLease lease, CancellationToken cancellationToken) =>
        TakeWithLeaseAsync<bool>(transaction, lease, "select true", cancellationToken);

    /// <summary>As <see cref="TakeWithLeaseAsync(NpgsqlTransaction, DeploymentLease, CancellationToken)"/>, and reads one row with <paramref name="sql"/> once the locks are there.</summary>
    /// <exception cref="LeaseLostException">The lease is lost.</exception>
    public static async Task<T> TakeWithLeaseAsync<T>(NpgsqlTransaction transaction, DeploymentLease lease, string sql, CancellationToken cancellationToken)
    {
        await using var results = await transaction.Connection!.QueryMultipleAsync(new CommandDefinition(
            $"select 1 from stores where shop_id = @ShopId for update; {LeaseChecks.Sql}; {sql}", lease, transaction, cancellationToken: cancellationToken));
        await results.ReadAsync<int>();
        var held = await results.ReadSingleOrDefaultAsync<bool>();
        // read in any case: results that are left are cancelled
        var row = await results.ReadSingleAsync<T>();
        return held ? row : throw new LeaseLostException(lease);
    }
}
