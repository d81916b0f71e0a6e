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
    public static async Task TakeWithLeaseAsync(NpgsqlTransaction transaction, DeploymentLease lease, CancellationToken cancellationToken)
    {
        await using var results = await transaction.Connection!.QueryMultipleAsync(new CommandDefinition(
            $"select 1 from stores where shop_id = @ShopId for update; {LeaseChecks.Sql}", lease, transaction, cancellationToken: cancellationToken));
        await results.ReadAsync<int>();
        if (!await results.ReadSingleOrDefaultAsync<bool>())
            throw new LeaseLostException(lease);
    }
}
