using System.Text.Json;
using Dapper;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Why a running deployment goes back into the queue.</summary>
internal enum ReturnReason
{
    /// <summary>Something can't be reached: says nothing about the deployment.</summary>
    MustWait,

    /// <summary>A step failed and is to be tried again.</summary>
    StepFailed,

    /// <summary>The process stops.</summary>
    Draining,

    /// <summary>The worker is gone.</summary>
    LeaseLost,

    /// <summary>The worker was not told that it holds it, or could not tell how it ended.</summary>
    Forgotten,
}

/// <summary>
/// Puts a running deployment back into the queue, or ends it there: cancelled if somebody asked for that, superseded if a newer one of the shop was accepted
/// meanwhile, failed if it took too many workers down.
/// </summary>
internal sealed class ReturnDeployment(PostgresDatabase database, DeploymentEvents events, IOptions<DeploymentOptions> options)
{
    /// <summary>Gives the lease back. Without <paramref name="steps"/>, those written down last count.</summary>
    /// <returns>The deployment's new status.</returns>
    /// <exception cref="LeaseLostException">The lease is lost, or is to be lost and holds again; nothing was written.</exception>
    public async Task<DeploymentStatus> ExecuteAsync(
        DeploymentLease lease, IReadOnlyList<StepState>? steps, ReturnReason reason, TimeSpan delay, DeploymentError? error, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await lease.FencedAsync(() => lease.AssertHeldWithShop().ExecuteAsync(transaction, cancellationToken));
        var lost = reason == ReturnReason.LeaseLost;
        if (lost)
            await AssertOrphanedAsync(transaction, lease, cancellationToken);
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
                error = Json(error),
                lostError = Json(new DeploymentError("worker-lost", $"The worker died or stood still {options.Value.MaxLostLeases} times during this deployment.")),
            }, transaction, cancellationToken: cancellationToken));

        if (steps is null)
        {
            // A try that ended with its worker is not an attempt. ClaimNextDeployment cleared the times of earlier claims, so these are the last claim's.
            await connection.ExecuteAsync(new CommandDefinition(
                """
                update deployment_steps set attempts = greatest(attempts - 1, 0), started_at = null, finished_at = null
                where deployment_id = @Id and started_at is not null
                """, new { lease.Id }, transaction, cancellationToken: cancellationToken));
            steps = await DeploymentSteps.ReadAsync(connection, transaction, lease.Id, kind, cancellationToken);
        }

        var now = Enum.Parse<DeploymentStatus>(status, ignoreCase: true);
        var told = now.IsFinal()
            ? events.Finished(lease.ShopId, lease.Id, now, steps.Snapshot(), finalError is null ? null : JsonSerializer.Deserialize<DeploymentError>(finalError, PlatformJson.Tolerant))
            : events.Progressed(lease.ShopId, lease.Id, now, steps.Snapshot());
        await DeploymentSteps.Write(lease.Id, steps).Then(told).ExecuteAsync(transaction, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        events.Wake();
        return now;
    }

    // What was found before the locks were there may have changed while they were waited for.
    private static async Task AssertOrphanedAsync(NpgsqlTransaction transaction, DeploymentLease lease, CancellationToken cancellationToken)
    {
        var orphaned = await transaction.Connection!.ExecuteScalarAsync<bool>(new CommandDefinition(
            $"select true from deployments d where d.id = @Id and {ReleaseOrphanedLeases.IsOrphaned}", lease, transaction, cancellationToken: cancellationToken));
        if (!orphaned)
            throw new LeaseLostException(lease);
    }

    private static string? Json(DeploymentError? error) => error is null ? null : JsonSerializer.Serialize(error, PlatformJson.Tolerant);
}
