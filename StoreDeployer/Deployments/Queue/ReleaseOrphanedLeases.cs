using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Returns the deployments of dead workers to the queue. A killed worker is recognised by its advisory lock, which its session releases; a paused or cut-off one
/// by its expired lease. Every process does this for all workers.
/// </summary>
internal sealed class ReleaseOrphanedLeases(PostgresDatabase database, ForgetDeadProcesses forgetDead, ReturnDeployment returnDeployment)
{
    /// <summary>SQL condition: the running deployment <c>d</c> has no live worker.</summary>
    public const string IsOrphaned = "(d.lease_until < now() or not exists (select from processes p where p.id = d.worker))";

    private const int Batch = 50;

    /// <returns>The number of deployments released.</returns>
    public async Task<int> ExecuteAsync(CancellationToken cancellationToken)
    {
        await forgetDead.ExecuteAsync(cancellationToken);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var orphans = (await connection.QueryAsync<DeploymentLease>(new CommandDefinition(
            $"""
            select d.id as Id, d.shop_id as ShopId, d.worker as Worker, d.fencing_token as FencingToken from deployments d
            where d.status = 'running' and {IsOrphaned}
            limit {Batch}
            """, cancellationToken: cancellationToken))).AsList();
        return await returnDeployment.ExecuteAsync(orphans, ReturnReason.LeaseLost, cancellationToken);
    }
}
