using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Puts back what this process holds and does not work on: the database went away before it said that a claim had succeeded, or before it could be told
/// how a run ended. Only for the one that claims, while it does not.
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
        foreach (var lease in held.Where(lease => !isRunning((lease.Id, lease.FencingToken))))
        {
            try
            {
                await returnDeployment.ExecuteAsync(lease, steps: null, ReturnReason.Forgotten, TimeSpan.Zero, error: null, cancellationToken);
            }
            catch (LeaseLostException)
            {
                // It has come to its end meanwhile.
            }
        }
    }
}
