using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Serialises all changes to a shop's deployments and active release. To avoid deadlocks, it is always taken before locks on the shop's deployments; a claim
/// takes only one of those, and skips locked rows. The lock is <c>for no key update</c> because inserting a release takes a key-share lock on the shop (foreign key)
/// while holding the deployment's lock: with <c>for update</c> it could deadlock with a holder of the shop's lock that waits for the deployment.
/// </summary>
internal static class ShopLock
{
    public static Statements Take(Guid shopId) => new("select 1 from stores where shop_id = @ShopId for no key update", new { ShopId = shopId });
}
