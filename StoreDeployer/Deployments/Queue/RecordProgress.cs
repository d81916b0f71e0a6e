using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Records the progress of a running deployment and tells Backend.</summary>
internal sealed class RecordProgress(PostgresDatabase database, DeploymentEvents events)
{
    /// <exception cref="LeaseLostException">The lease is lost; nothing was written.</exception>
    public async Task ExecuteAsync(DeploymentLease lease, IReadOnlyList<StepState> steps, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await lease.FencedAsync(() => lease.AssertHeld()
            .Then(DeploymentSteps.Write(lease.Id, steps))
            .Then(events.Changed(lease.ShopId, lease.Id, DeploymentStatus.Running, steps.Snapshot()))
            .ExecuteAsync(connection, cancellationToken));
        events.Wake();
    }
}
