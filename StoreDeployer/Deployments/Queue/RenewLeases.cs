using Dapper;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Extends this process's leases, by the database's clock, and says which deployments somebody wants cancelled.</summary>
internal sealed class RenewLeases(PostgresDatabase database, IOptions<DeploymentOptions> options)
{
    /// <summary>Of <paramref name="leases"/>, those that still hold; the others are lost.</summary>
    public async Task<IReadOnlyList<(Guid Id, long FencingToken, bool CancelRequested)>> ExecuteAsync(IReadOnlyCollection<DeploymentLease> leases, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return [.. await connection.QueryAsync<(Guid, long, bool)>(new CommandDefinition(
            """
            update deployments d set lease_until = now() + @Lease
            from unnest(@ids, @workers, @tokens) as l (id, worker, token)
            where d.id = l.id and d.worker = l.worker and d.fencing_token = l.token and d.status = 'running'
            returning d.id, d.fencing_token, d.cancel_requested_at is not null
            """,
            new
            {
                options.Value.Lease,
                ids = leases.Select(lease => lease.Id).ToArray(),
                workers = leases.Select(lease => lease.Worker).ToArray(),
                tokens = leases.Select(lease => lease.FencingToken).ToArray(),
            }, cancellationToken: cancellationToken))];
    }
}
