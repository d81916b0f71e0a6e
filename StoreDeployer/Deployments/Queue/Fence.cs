using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Makes a worker's writes conditional on its lease: the database aborts the transaction if the lease is lost.</summary>
internal static class Fence
{
    // The SQLSTATE that assert_lease raises.
    private const string LeaseLost = "PL001";

    /// <summary>Locks the deployment's row until the end of the transaction, or aborts the transaction if the lease is lost. Must be run in <see cref="FencedAsync"/>.</summary>
    public static Statements AssertHeld(this DeploymentLease lease) =>
        new("select true from assert_lease(@Id, @Worker, @FencingToken)", new { lease.Id, lease.Worker, lease.FencingToken });

    /// <summary>Takes the shop's lock, then does the same as <see cref="AssertHeld"/>.</summary>
    public static Statements AssertHeldWithShop(this DeploymentLease lease) => ShopLock.Take(lease.ShopId).Then(lease.AssertHeld());

    /// <summary>Runs work that asserts the lease, and turns the database's error into an exception of ours.</summary>
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
