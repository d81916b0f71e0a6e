using Npgsql;
using Platform.Backend.Database;
using Platform.Backend.Shops;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;

namespace Platform.Backend.Deployments;

/// <summary>Records the progress of a deployment. Late messages are ignored: a status never moves back.</summary>
internal sealed partial class ApplyDeploymentProgressed(TimeProvider time, Signals signals, ILogger<ApplyDeploymentProgressed> logger) : IMessageHandler<DeploymentProgressed>
{
    public async Task HandleAsync(DeploymentProgressed data, MessageContext context, CancellationToken cancellationToken)
    {
        if (data.Status is not (DeploymentStatus.Queued or DeploymentStatus.Running))
            throw new MessageRefusedException($"status '{data.Status}' is neither queued nor running.");

        var changed = await context.Transaction.ChangeDeploymentsAsync(
            time.GetUtcNow(),
            $"""
            update deployments
            set status = case when status = 'running' then status else $2 end, steps = $3, events = events + 1
            where id = $1 and status in ('queued', 'running')
            returning {DeploymentRows.Columns}
            """,
            [data.DeploymentId, data.Status, Sql.Json(data.Steps)], cancellationToken);
        if (changed.Count == 0)
            LogIgnored(logger, data.DeploymentId, data.Status);
        context.AfterCommit(signals[DeploymentRows.SignalName].Set);
    }

    [LoggerMessage(LogLevel.Information, "Deployment {DeploymentId} is final or unknown: that it is {Status} changes nothing")]
    private static partial void LogIgnored(ILogger logger, Guid deploymentId, string status);
}

/// <summary>Records the outcome of a deployment. A final status never changes, unless a failed deployment is retried.</summary>
internal sealed partial class ApplyDeploymentFinished(TimeProvider time, Signals signals, DeploymentMetrics metrics, ILogger<ApplyDeploymentFinished> logger) : IMessageHandler<DeploymentFinished>
{
    public async Task HandleAsync(DeploymentFinished data, MessageContext context, CancellationToken cancellationToken)
    {
        if (!DeploymentStatus.IsFinal(data.Status))
            throw new MessageRefusedException($"status '{data.Status}' is not final.");
        if (data.Status == DeploymentStatus.Live && (data.Release is null || data.Url is null))
            throw new MessageRefusedException("a live deployment needs its release and url.");

        var changed = await context.Transaction.ChangeDeploymentsAsync(
            time.GetUtcNow(),
            $"""
            update deployments
            set status = $2, steps = $3, url = $4, release = $5, error = $6, finished_at = $7, events = events + 1,
                activation = case when $2 = 'live' then nextval('activations') end
            where id = $1 and status in ('queued', 'running')
            returning {DeploymentRows.Columns}
            """,
            [data.DeploymentId, data.Status, Sql.Json(data.Steps), data.Url, data.Release, Sql.Json(data.Error), data.FinishedAt], cancellationToken);
        if (changed is not [var deployment])
        {
            LogIgnored(logger, data.DeploymentId, data.Status);
            return;
        }

        context.AfterCommit(signals[DeploymentRows.SignalName].Set);
        context.AfterCommit(() => metrics.Finished(deployment));
        LogFinished(logger, deployment.Id, deployment.ShopId, deployment.Status);
        if (deployment.Status == DeploymentStatus.Live)
            await ActivateAsync(context.Transaction, deployment, cancellationToken);
    }

    private static async Task ActivateAsync(NpgsqlTransaction transaction, Deployment live, CancellationToken cancellationToken)
    {
        await using var command = transaction.Command(
            """
            update shops
            set status = case when status = 'deleting' then status else 'live' end, url = $2, release = $3, changes = changes + 1
            where id = $1
            """,
            live.ShopId, live.Url, live.Release);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    [LoggerMessage(LogLevel.Information, "Deployment {DeploymentId} of shop {ShopId} is {Status}")]
    private static partial void LogFinished(ILogger logger, Guid deploymentId, Guid shopId, string status);

    [LoggerMessage(LogLevel.Information, "Deployment {DeploymentId} is final or unknown: that it is {Status} changes nothing")]
    private static partial void LogIgnored(ILogger logger, Guid deploymentId, string status);
}

/// <summary>Deletes a shop, which frees its slug, after StoreDeployer has taken its store down.</summary>
internal sealed partial class ApplyStoreRemoved(TimeProvider time, Signals signals, ILogger<ApplyStoreRemoved> logger) : IMessageHandler<StoreRemoved>
{
    public async Task HandleAsync(StoreRemoved data, MessageContext context, CancellationToken cancellationToken)
    {
        // Every deployment must reach a final status, also one that StoreDeployer never received.
        await context.Transaction.ChangeDeploymentsAsync(
            time.GetUtcNow(),
            $"""
            update deployments set status = 'cancelled', error = $2, finished_at = $3, events = events + 1
            where shop_id = $1 and status in ('queued', 'running') and exists (select from shops where id = $1 and status = 'deleting')
            returning {DeploymentRows.Columns}
            """,
            [data.ShopId, Sql.Json(new DeploymentError("shop-deleted", "The shop was deleted.")), time.GetUtcNow()], cancellationToken);
        context.AfterCommit(signals[DeploymentRows.SignalName].Set);

        await using var command = context.Transaction.Command("delete from shops where id = $1 and status = 'deleting'", data.ShopId);
        if (await command.ExecuteNonQueryAsync(cancellationToken) > 0)
            LogRemoved(logger, data.ShopId);
        else
            LogNotDeleting(logger, data.ShopId);
    }

    [LoggerMessage(LogLevel.Information, "Deleted shop {ShopId}")]
    private static partial void LogRemoved(ILogger logger, Guid shopId);

    [LoggerMessage(LogLevel.Warning, "Ignored that the store of shop {ShopId} was taken down, because the shop is not being deleted")]
    private static partial void LogNotDeleting(ILogger logger, Guid shopId);
}
