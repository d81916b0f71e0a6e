using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Writes down how far a running deployment is, and tells Backend.</summary>
internal sealed class RecordProgress(PostgresDatabase database, DeploymentEvents events)
{
    /// <summary>Writes <paramref name="steps"/>.</summary>
    /// <exception cref="LeaseLostException">The lease is lost; nothing was written.</exception>
    public async Task ExecuteAsync(DeploymentLease lease, IReadOnlyList<StepState> steps, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await lease.FencedAsync(() => lease.AssertHeld()
            .Then(DeploymentSteps.Write(lease.Id, steps))
            .Then(events.Progressed(lease.ShopId, lease.Id, DeploymentStatus.Running, steps.Snapshot()))
            .ExecuteAsync(connection, cancellationToken));
        events.Wake();
    }
}
