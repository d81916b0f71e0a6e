using Dapper;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Releases;

/// <summary>Makes a release the shop's active one, completes the deployment and tells Backend, all in one transaction.</summary>
internal sealed class ActivateRelease(PostgresDatabase database, DeploymentEvents events, FailDeployment failDeployment, StoreDirectory directory, Signals signals)
{
    /// <summary>Activates <paramref name="release"/>, unless the deployment was cancelled or superseded.</summary>
    /// <returns>Live, cancelled or superseded.</returns>
    /// <exception cref="LeaseLostException">The lease is lost; nothing was written.</exception>
    /// <exception cref="MustWaitException">The slug still belongs to the store of a shop that is being deleted.</exception>
    public async Task<DeploymentStatus> ExecuteAsync(DeploymentJob job, Guid release, IReadOnlyList<StepState> steps, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await job.FencedAsync(() => job.AssertHeldWithShop().ExecuteAsync(transaction, cancellationToken));
        // changed_at is not now(), the start of this transaction: it must be later than the shop's previous change, because readers compare the times.
        var (cancelled, takenDown, newer, changedAt) = await connection.QuerySingleAsync<(bool, bool, bool, DateTime)>(new CommandDefinition(
            """
            select d.cancel_requested_at is not null, s.taken_down_at is not null, s.active_sequence >= d.sequence,
              greatest(clock_timestamp(), s.changed_at + interval '1 microsecond')
            from deployments d join stores s on s.shop_id = d.shop_id where d.id = @Id
            """, new { job.Id }, transaction, cancellationToken: cancellationToken));
        if (cancelled || takenDown || newer)
        {
            var status = cancelled || takenDown ? DeploymentStatus.Cancelled : DeploymentStatus.Superseded;
            var error = takenDown ? DeploymentError.ShopDeleted : null;
            // The activate step was marked as finished in advance, but nothing is activated.
            steps[^1].FinishedAt = null;
            await failDeployment.WithLeaseHeld(job, steps, status, error).ExecuteAsync(transaction, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            events.Wake();
            return status;
        }

        try
        {
            await new Statements(
                """
                update stores set active_release = @release, active_sequence = @Sequence, slug = @Slug, changed_at = @changedAt where shop_id = @ShopId;
                update releases set activated_at = now() where id = @release;
                update deployments set status = 'live', release = @release, error = null, worker = null, lease_until = null, finished_at = now() where id = @Id
                """, new { release, job.Sequence, job.Slug, job.ShopId, job.Id, changedAt })
                .Then(DeploymentSteps.Write(job.Id, steps))
                .Then(events.Live(job, release, steps.Snapshot()))
                .ExecuteAsync(transaction, cancellationToken);
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            throw new MustWaitException("slug-in-use", $"The address {job.Slug} still belongs to the store of a deleted shop.", inner: e);
        }

        // Not cancellable from here: we must learn whether the commit succeeded.
        await transaction.CommitAsync(CancellationToken.None);
        // Forget first: if the refresh fails, the next request reads the new release from the database instead of being served the old one from memory.
        directory.Forget(job.Slug);
        await directory.RefreshAsync(job.Slug, new DateTimeOffset(changedAt), CancellationToken.None);
        signals[StoreDirectory.SignalName].Set();
        events.Wake();
        return DeploymentStatus.Live;
    }
}
