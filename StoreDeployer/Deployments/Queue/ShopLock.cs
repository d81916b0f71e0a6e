using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// The lock that orders whatever changes a shop's deployments or pointer. It is always taken before locks on the shop's deployments; a claim,
/// which takes one of those only, skips what is locked.
/// </summary>
internal static class ShopLock
{
    public static Statements Take(Guid shopId) => new("select 1 from stores where shop_id = @ShopId for update", new { ShopId = shopId });
}
