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
}
