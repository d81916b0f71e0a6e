using Dapper;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Releases;

/// <summary>Moves a shop's pointer to a release, completes the deployment and tells Backend, all in one transaction.</summary>
internal sealed class ActivateRelease(PostgresDatabase database, DeploymentEvents events, FailDeployment end, StoreDirectory directory, Signals signals)
{
    /// <summary>Activates <paramref name="release"/>, unless something has come before it.</summary>
    /// <returns>Live; or cancelled or superseded, when that came first.</returns>
    /// <exception cref="LeaseLostException">The lease is lost; nothing was written.</exception>
    /// <exception cref="MustWaitException">The slug still belongs to the store of a shop that is being deleted.</exception>
    public async Task<DeploymentStatus> ExecuteAsync(DeploymentJob job, Guid release, IReadOnlyList<StepState> steps, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await job.FencedAsync(() => job.AssertHeldWithShop().ExecuteAsync(transaction, cancellationToken));
        // the time is not now(), which is when this transaction began: readers take what changed later for newer
        var (cancelled, takenDown, newer, changedAt) = await connection.QuerySingleAsync<(bool, bool, bool, DateTime)>(new CommandDefinition(
            """
            select d.cancel_requested_at is not null, s.taken_down_at is not null, s.active_sequence >= d.sequence,
              greatest(clock_timestamp(), s.changed_at + interval '1 microsecond')
            from deployments d join stores s on s.shop_id = d.shop_id where d.id = @Id
            """, new { job.Id }, transaction, cancellationToken: cancellationToken));
        if (cancelled || takenDown || newer)
        {
            var status = cancelled || takenDown ? DeploymentStatus.Cancelled : DeploymentStatus.Superseded;
            var error = takenDown ? new DeploymentError("shop-deleted", "The shop was deleted.") : null;
            // The last step was counted as done before it was known that there is nothing to activate.
            steps[^1].FinishedAt = null;
            await end.WithLeaseHeld(job, steps, status, error).ExecuteAsync(transaction, cancellationToken);
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

        // From here on it is done or not done, and being told to stop would only hide which.
        await transaction.CommitAsync(CancellationToken.None);
        // Who is told that it is live and asks here gets the new pages, even before they are read below.
        directory.Forget(job.Slug);
        await directory.RefreshAsync(job.Slug, new DateTimeOffset(changedAt), CancellationToken.None);
        signals[StoreDirectory.SignalName].Set();
        events.Wake();
        return DeploymentStatus.Live;
    }
}
