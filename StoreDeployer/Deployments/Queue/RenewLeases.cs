using Dapper;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Extends this process's leases, by the database's clock, and reports which deployments are to be cancelled. It is called at every signal, far more often than leases
/// need renewal, so leases renewed recently are only read: an update would contend with the transactions of the runs for the row's lock.
/// </summary>
internal sealed class RenewLeases(PostgresDatabase database, IOptions<DeploymentOptions> options)
{
    /// <returns>Those of <paramref name="leases"/> that are still held; the others are lost.</returns>
    public async Task<IReadOnlyList<(Guid Id, long FencingToken, bool CancelRequested)>> ExecuteAsync(IReadOnlyCollection<DeploymentLease> leases, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return [.. await connection.QueryAsync<(Guid, long, bool)>(new CommandDefinition(
            """
            with mine as (
              select d.id, d.worker, d.fencing_token, d.cancel_requested_at is not null as cancelled, d.lease_until < now() + @Lease - @age as due
              from unnest(@ids, @workers, @tokens) as l (id, worker, token)
              join deployments d on d.id = l.id and d.worker = l.worker and d.fencing_token = l.token and d.status = 'running'),
            renewed as (
              update deployments d set lease_until = now() + @Lease
              from mine where mine.due and d.id = mine.id and d.worker = mine.worker and d.fencing_token = mine.fencing_token and d.status = 'running'
              returning d.id, d.fencing_token, d.cancel_requested_at is not null)
            select id, fencing_token, cancelled from mine where not due
            union all
            select * from renewed
            """,
            new
            {
                options.Value.Lease,
                // Leases renewed less than this ago are not renewed again.
                age = options.Value.LeaseRenewal / 2,
                ids = leases.Select(lease => lease.Id).ToArray(),
                workers = leases.Select(lease => lease.Worker).ToArray(),
                tokens = leases.Select(lease => lease.FencingToken).ToArray(),
            }, cancellationToken: cancellationToken))];
    }
}
