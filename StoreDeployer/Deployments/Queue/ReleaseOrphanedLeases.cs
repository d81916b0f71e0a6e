using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Puts back what a killed worker held, which is noticed by its advisory lock, and what a paused or cut-off one held, which is noticed by its
/// lease. Any process does it for all.
/// </summary>
internal sealed class ReleaseOrphanedLeases(PostgresDatabase database, ForgetDeadProcesses forgetDead, ReturnDeployment returnDeployment)
{
    /// <summary>That nobody works on the running deployment <c>d</c> any more.</summary>
    public const string IsOrphaned = "(d.lease_until < now() or not exists (select from processes p where p.id = d.worker))";

    private const int Batch = 50;

    /// <summary>How many deployments were taken from their workers.</summary>
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

        var released = 0;
        foreach (var orphan in orphans)
        {
            try
            {
                await returnDeployment.ExecuteAsync(orphan, steps: null, ReturnReason.LeaseLost, TimeSpan.Zero, error: null, cancellationToken);
                released++;
            }
            catch (LeaseLostException)
            {
                // Another process did it first, or the worker was back in time to renew its lease or to finish.
            }
        }

        return released;
    }
}
