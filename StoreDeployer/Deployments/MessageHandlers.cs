using System.Diagnostics;
using System.Text.Json;
using Dapper;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Puts a deployment into the queue, and supersedes older ones of its shop that are still queued.</summary>
internal sealed class EnqueueDeployment(DeploymentEvents events, Signals signals) : IMessageHandler<DeploymentRequested>
{
    public async Task HandleAsync(DeploymentRequested data, MessageContext context, CancellationToken cancellationToken)
    {
        if (data.Kind is not (DeploymentKind.Deployment or DeploymentKind.Rollback))
            throw new MessageRefusedException($"kind '{data.Kind}' is not deployment or rollback.");
        if (data.Priority is < 0 or > 2)
            throw new MessageRefusedException("priority must be 0, 1 or 2.");
        if (data.Kind == DeploymentKind.Deployment && data.Template is null)
            throw new MessageRefusedException("a deployment needs its template.");

        var (transaction, connection) = (context.Transaction, context.Connection);
        // Two statements in one round trip. The first takes the shop's lock; the second needs a snapshot taken after that, to see what the lock's former holder committed.
        await using var results = await connection.QueryMultipleAsync(new CommandDefinition(
            """
            insert into stores (shop_id, slug) values (@ShopId, @Slug)
            on conflict (shop_id) do update set slug = stores.slug
            returning taken_down_at is not null;

            with older as (
              update deployments set status = 'superseded', error = null, finished_at = now()
              where shop_id = @ShopId and status = 'queued' and sequence < @Sequence
              returning id, kind, queued_at),
            added as (
              insert into deployments (id, shop_id, sequence, kind, priority, slug, template_name, template_version, template_digest, spec, rollback_to,
                status, queued_at, correlation_id, traceparent, created_at, error, finished_at)
              select @DeploymentId, @ShopId, @Sequence, @Kind, @Priority, @Slug, @name, @version, @digest, @spec::jsonb, @RollbackTo,
                case when s.taken_down_at is null then 'queued' else 'cancelled' end, coalesce((select min(queued_at) from older), now()),
                @CorrelationId, @traceparent, @createdAt,
                case when s.taken_down_at is not null then @error::jsonb end, case when s.taken_down_at is not null then now() end
              from stores s where s.shop_id = @ShopId)
            select id, kind from older
            """,
            new
            {
                data.DeploymentId,
                data.ShopId,
                context.Sequence,
                data.Kind,
                data.Priority,
                data.Slug,
                name = data.Template?.Name,
                version = data.Template?.Version,
                digest = data.Template?.Digest,
                spec = JsonSerializer.Serialize(data.Shop, PlatformJson.Tolerant),
                data.RollbackTo,
                context.CorrelationId,
                traceparent = Activity.Current?.Id,
                createdAt = data.RequestedAt.UtcDateTime,
                error = DeploymentError.ShopDeleted.ToJson(),
            }, transaction, cancellationToken: cancellationToken));
        var takenDown = await results.ReadSingleAsync<bool>();
        var superseded = (await results.ReadAsync<(Guid Id, string Kind)>()).AsList();

        foreach (var (id, kind) in superseded)
        {
            var steps = await DeploymentSteps.ReadAsync(connection, transaction, id, kind, cancellationToken);
            await events.Changed(data.ShopId, id, DeploymentStatus.Superseded, steps.Snapshot()).ExecuteAsync(transaction, cancellationToken);
        }

        if (takenDown)
            await events.Changed(data.ShopId, data.DeploymentId, DeploymentStatus.Cancelled, [], DeploymentError.ShopDeleted).ExecuteAsync(transaction, cancellationToken);
        context.AfterCommit(signals[DeploymentWorker.SignalName].Set);
    }
}

/// <summary>Cancels a deployment: a queued one at once, a running one when its worker next renews its lease, unless it goes live first.</summary>
internal sealed class CancelDeployment(DeploymentEvents events, Signals signals) : IMessageHandler<DeploymentCancelRequested>
{
    public async Task HandleAsync(DeploymentCancelRequested data, MessageContext context, CancellationToken cancellationToken)
    {
        await ShopLock.Take(context.PartitionKey).ExecuteAsync(context.Transaction, cancellationToken);
        await ExecuteInLockAsync(context, context.PartitionKey, data.DeploymentId, error: null, events, cancellationToken);
        context.AfterCommit(signals[DeploymentWorker.SignalName].Set);
    }

    /// <summary>Cancels the shop's deployment, or all its deployments if <paramref name="deployment"/> is null. The transaction must hold the shop's lock.</summary>
    public static async Task ExecuteInLockAsync(
        MessageContext context, Guid shop, Guid? deployment, DeploymentError? error, DeploymentEvents events, CancellationToken cancellationToken)
    {
        var (transaction, connection) = (context.Transaction, context.Connection);
        var changed = await connection.QueryAsync<(Guid Id, string Kind, string Status)>(new CommandDefinition(
            """
            update deployments
            set cancel_requested_at = coalesce(cancel_requested_at, now()),
              status = case when status = 'queued' then 'cancelled' else status end,
              finished_at = case when status = 'queued' then now() end
            where shop_id = @shop and (@deployment::uuid is null or id = @deployment) and status in ('queued', 'running')
            returning id, kind, status
            """, new { shop, deployment }, transaction, cancellationToken: cancellationToken));
        foreach (var (id, kind, _) in changed.Where(changed => changed.Status == DeploymentStatus.Cancelled.Text()))
        {
            var steps = await DeploymentSteps.ReadAsync(connection, transaction, id, kind, cancellationToken);
            await events.Changed(shop, id, DeploymentStatus.Cancelled, steps.Snapshot(), error).ExecuteAsync(transaction, cancellationToken);
        }
    }
}

/// <summary>Puts a failed deployment back into the queue. If a newer one of its shop is queued, running or live, it becomes superseded instead, so that the shop never goes back to older content.</summary>
internal sealed class RetryDeployment(DeploymentEvents events, Signals signals) : IMessageHandler<DeploymentRetryRequested>
{
    public async Task HandleAsync(DeploymentRetryRequested data, MessageContext context, CancellationToken cancellationToken)
    {
        var (transaction, connection) = (context.Transaction, context.Connection);
        await ShopLock.Take(context.PartitionKey).ExecuteAsync(transaction, cancellationToken);
        var changed = await connection.QuerySingleOrDefaultAsync<(string Status, string Kind)>(new CommandDefinition(
            """
            with decided as (
              select d.id, case
                when exists (select from stores s where s.shop_id = d.shop_id and s.taken_down_at is not null) then 'cancelled'
                when exists (select from deployments n where n.shop_id = d.shop_id and n.sequence > d.sequence and n.status in ('queued', 'running', 'live')) then 'superseded'
                else 'queued' end as status
              from deployments d where d.id = @DeploymentId and d.shop_id = @PartitionKey and d.status = 'failed')
            update deployments d
            set status = decided.status, error = null, waits = 0, lost_leases = 0, available_at = now(), queued_at = now(), cancel_requested_at = null,
              finished_at = case when decided.status = 'queued' then null else now() end
            from decided where d.id = decided.id
            returning d.status, d.kind
            """, new { data.DeploymentId, context.PartitionKey }, transaction, cancellationToken: cancellationToken));
        if (changed.Status is null)
            return;

        // The attempts shown to the merchant continue; only the failures counted against the limit start again.
        await connection.ExecuteAsync(new CommandDefinition(
            "update deployment_steps set failures = 0, error = null where deployment_id = @DeploymentId", data, transaction, cancellationToken: cancellationToken));
        var steps = await DeploymentSteps.ReadAsync(connection, transaction, data.DeploymentId, changed.Kind, cancellationToken);
        var status = Enum.Parse<DeploymentStatus>(changed.Status, ignoreCase: true);
        await events.Changed(context.PartitionKey, data.DeploymentId, status, steps.Snapshot()).ExecuteAsync(transaction, cancellationToken);
        context.AfterCommit(signals[DeploymentWorker.SignalName].Set);
    }
}

/// <summary>Takes a shop's store down permanently.</summary>
internal sealed class TakeStoreDown(DeploymentEvents events, StoreDirectory directory, Signals signals) : IMessageHandler<ShopDeleted>
{
    public async Task HandleAsync(ShopDeleted data, MessageContext context, CancellationToken cancellationToken)
    {
        var (transaction, connection) = (context.Transaction, context.Connection);
        // The row is written also for a shop without deployments, so that one which arrives later is cancelled.
        await connection.ExecuteAsync(new CommandDefinition(
            """
            insert into stores (shop_id, slug, taken_down_at) values (@ShopId, @Slug, now())
            on conflict (shop_id) do update
            set taken_down_at = coalesce(stores.taken_down_at, now()), active_release = null,
              -- not now(), which is when this transaction began: an activation that held the lock until now may have a later changed_at
              changed_at = greatest(clock_timestamp(), stores.changed_at + interval '1 microsecond')
            """, data, transaction, cancellationToken: cancellationToken));
        await CancelDeployment.ExecuteInLockAsync(context, data.ShopId, deployment: null, DeploymentError.ShopDeleted, events, cancellationToken);
        await events.StoreRemoved(data.ShopId).ExecuteAsync(transaction, cancellationToken);
        context.AfterCommit(() =>
        {
            // StoreRemoved promises that the store is no longer served. This process stops at once, the others at the signal.
            directory.Forget(data.Slug);
            signals[StoreDirectory.SignalName].Set();
            signals[DeploymentWorker.SignalName].Set();
        });
    }
}
