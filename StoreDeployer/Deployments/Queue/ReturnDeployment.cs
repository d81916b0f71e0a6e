using Dapper;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Why a running deployment goes back into the queue.</summary>
internal enum ReturnReason
{
    /// <summary>A dependency is unavailable.</summary>
    MustWait,

    /// <summary>A step failed and will be retried.</summary>
    StepFailed,

    /// <summary>The process is stopping.</summary>
    Draining,

    /// <summary>The worker died, or its lease expired.</summary>
    LeaseLost,

    /// <summary>The worker holds the deployment without running it; see <see cref="ReleaseForgottenLeases"/>.</summary>
    Forgotten,
}

/// <summary>
/// Returns a running deployment to the queue. It becomes final instead if it is to be cancelled, if a newer one of the shop supersedes it, or if it has lost too
/// many workers.
/// </summary>
internal sealed class ReturnDeployment(PostgresDatabase database, DeploymentEvents events, IOptions<DeploymentOptions> options)
{
    /// <summary>Gives the lease back. If <paramref name="steps"/> is null, the steps recorded last are kept.</summary>
    /// <returns>The deployment's new status.</returns>
    /// <exception cref="LeaseLostException">The lease is lost, or (for <see cref="ReturnReason.LeaseLost"/>) its worker is alive after all. Nothing was written.</exception>
    public async Task<DeploymentStatus> ExecuteAsync(
        DeploymentLease lease, IReadOnlyList<StepState>? steps, ReturnReason reason, TimeSpan delay, DeploymentError? error, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await lease.FencedAsync(() => lease.AssertHeldWithShop().ExecuteAsync(transaction, cancellationToken));
        var lost = reason == ReturnReason.LeaseLost;
        // Checked again under the lock: the worker may have renewed its lease while we waited for it.
        if (lost && !await connection.ExecuteScalarAsync<bool>(new CommandDefinition(
            $"select true from deployments d where d.id = @Id and {ReleaseOrphanedLeases.IsOrphaned}", lease, transaction, cancellationToken: cancellationToken)))
        {
            throw new LeaseLostException(lease);
        }

        var (kind, status, finalError) = await connection.QuerySingleAsync<(string Kind, string Status, string? Error)>(new CommandDefinition(
            """
            with decided as (
              select d.id,
                case when d.cancel_requested_at is not null then 'cancelled'
                     when exists (select from deployments n where n.shop_id = d.shop_id and n.sequence > d.sequence and n.status in ('queued', 'live')) then 'superseded'
                     when @lost and d.lost_leases + 1 >= @MaxLostLeases then 'failed'
                     else 'queued' end as status
              from deployments d where d.id = @Id)
            update deployments d
            set status = decided.status, worker = null, lease_until = null,
              lost_leases = lost_leases + @lost::int, waits = case when @waits then waits + 1 else waits end,
              available_at = now() + @delay,
              finished_at = case when decided.status = 'queued' then null else now() end,
              error = case decided.status when 'queued' then @error::jsonb when 'failed' then @lostError::jsonb end
            from decided where d.id = decided.id
            returning d.kind as Kind, d.status as Status, d.error::text as Error
            """,
            new
            {
                lease.Id,
                lost,
                waits = reason is ReturnReason.MustWait or ReturnReason.StepFailed,
                options.Value.MaxLostLeases,
                delay,
                error = error?.ToJson(),
                lostError = new DeploymentError("worker-lost", $"The worker died or stopped responding {options.Value.MaxLostLeases} times during this deployment.").ToJson(),
            }, transaction, cancellationToken: cancellationToken));

        if (steps is null)
        {
            // An attempt that ended with its worker doesn't count. ClaimNextDeployment clears the start times, so a step that has one was begun under this claim.
            await connection.ExecuteAsync(new CommandDefinition(
                """
                update deployment_steps set attempts = greatest(attempts - 1, 0), started_at = null, finished_at = null
                where deployment_id = @Id and started_at is not null
                """, new { lease.Id }, transaction, cancellationToken: cancellationToken));
            steps = await DeploymentSteps.ReadAsync(connection, transaction, lease.Id, kind, cancellationToken);
        }

        var newStatus = Enum.Parse<DeploymentStatus>(status, ignoreCase: true);
        await DeploymentSteps.Write(lease.Id, steps)
            .Then(events.Changed(lease.ShopId, lease.Id, newStatus, steps.Snapshot(), DeploymentError.FromJson(finalError)))
            .ExecuteAsync(transaction, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        events.Wake();
        return newStatus;
    }

    /// <summary>Returns those of <paramref name="leases"/> that are still held and whose worker doesn't run them.</summary>
    /// <returns>How many were returned.</returns>
    public async Task<int> ExecuteAsync(IEnumerable<DeploymentLease> leases, ReturnReason reason, CancellationToken cancellationToken)
    {
        var returned = 0;
        foreach (var lease in leases)
        {
            try
            {
                await ExecuteAsync(lease, steps: null, reason, TimeSpan.Zero, error: null, cancellationToken);
                returned++;
            }
            catch (LeaseLostException)
            {
                // Another process returned it first, its worker has renewed the lease, or it has ended.
            }
        }

        return returned;
    }
}
