using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Returns deployments to the queue that this process holds but doesn't run, because the connection broke before a claim was confirmed or before the outcome of a
/// run was recorded. Must not run concurrently with a claim, whose deployment isn't registered as running yet.
/// </summary>
internal sealed class ReleaseForgottenLeases(PostgresDatabase database, ReturnDeployment returnDeployment)
{
    public async Task ExecuteAsync(Guid worker, Func<(Guid Id, long FencingToken), bool> isRunning, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var held = (await connection.QueryAsync<DeploymentLease>(new CommandDefinition(
            """
            select d.id as Id, d.shop_id as ShopId, d.worker as Worker, d.fencing_token as FencingToken from deployments d
            where d.status = 'running' and d.worker = @worker
            """, new { worker }, cancellationToken: cancellationToken))).AsList();
        await returnDeployment.ExecuteAsync(held.Where(lease => !isRunning((lease.Id, lease.FencingToken))), ReturnReason.Forgotten, cancellationToken);
    }
}
