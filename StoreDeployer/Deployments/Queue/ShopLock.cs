using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// The lock that orders whatever changes a shop's deployments or pointer. It is always taken before locks on the shop's deployments; a claim,
/// which takes one of those only, skips what is locked. Rows that only name the shop, such as a release, can be written by others meanwhile: with a plain
/// <c>for update</c> whoever stores a release, with the deployment locked, would wait here for one who waits for the deployment.
/// </summary>
internal static class ShopLock
{
    public static Statements Take(Guid shopId) => new("select 1 from stores where shop_id = @ShopId for no key update", new { ShopId = shopId });
}
