using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>What a worker writes counts only under its fencing token: the database refuses the transaction of one whose lease is lost.</summary>
internal static class Fence
{
    // raised by assert_lease
    private const string LeaseLost = "PL001";

    /// <summary>Locks the deployment for the rest of the transaction if the lease holds, and refuses the transaction if not. To be run by <see cref="FencedAsync"/>.</summary>
    public static Statements AssertHeld(this DeploymentLease lease) =>
        new("select true from assert_lease(@Id, @Worker, @FencingToken)", new { lease.Id, lease.Worker, lease.FencingToken });

    /// <summary>Takes the lock of the lease's shop, and then does as <see cref="AssertHeld"/> does.</summary>
    public static Statements AssertHeldWithShop(this DeploymentLease lease) => ShopLock.Take(lease.ShopId).Then(lease.AssertHeld());

    /// <summary>Runs what has the fence in it.</summary>
    /// <exception cref="LeaseLostException">The lease is lost; nothing was written.</exception>
    public static async Task FencedAsync(this DeploymentLease lease, Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (PostgresException e) when (e.SqlState == LeaseLost)
        {
            throw new LeaseLostException(lease);
        }
    }
}
