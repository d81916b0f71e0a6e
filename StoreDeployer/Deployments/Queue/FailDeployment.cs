using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Ends a running deployment that does not go live: it failed, or was cancelled or superseded.</summary>
internal sealed class FailDeployment(PostgresDatabase database, DeploymentEvents events)
{
    /// <summary>Ends the deployment with a final <paramref name="status"/> other than live.</summary>
    /// <exception cref="LeaseLostException">The lease is lost; nothing was written.</exception>
    public async Task ExecuteAsync(DeploymentLease lease, IReadOnlyList<StepState> steps, DeploymentStatus status, DeploymentError? error, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await lease.FencedAsync(() => lease.AssertHeldWithShop().Then(WithLeaseHeld(lease, steps, status, error)).ExecuteAsync(connection, cancellationToken));
        events.Wake();
    }

    /// <summary>The same for a transaction that already holds the shop's lock and has asserted the lease.</summary>
    public Statements WithLeaseHeld(DeploymentLease lease, IReadOnlyList<StepState> steps, DeploymentStatus status, DeploymentError? error) =>
        new Statements("update deployments set status = @status, error = @error::jsonb, worker = null, lease_until = null, finished_at = now() where id = @Id",
            new { lease.Id, status = status.Text(), error = error?.ToJson() })
            .Then(DeploymentSteps.Write(lease.Id, steps))
            .Then(events.Changed(lease.ShopId, lease.Id, status, steps.Snapshot(), error));
}
