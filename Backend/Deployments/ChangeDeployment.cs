using Microsoft.AspNetCore.Http.HttpResults;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.Backend.Shops;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Deployments;

/// <summary>Requests the cancellation of a deployment.</summary>
internal sealed class CancelDeployment(Caller caller, PostgresDatabase database, Outbox outbox, Idempotency idempotency, Signals signals, TimeProvider time)
{
    /// <summary>202 with the deployment, which may still go live before StoreDeployer receives the request; 404; or 409 if it is final.</summary>
    public async Task<Results<Accepted<Deployment>, ProblemHttpResult>> ExecuteAsync(Guid id, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        if (await transaction.LockDeploymentAsync(id, caller, cancellationToken) is not { } deployment)
            return DeploymentProblems.NotFound(id);
        if (deployment.IsFinal)
            return Problem.Conflict($"The deployment is already {deployment.Status}.");

        if (deployment.CancelRequestedAt is null)
        {
            var now = time.GetUtcNow();
            var changed = await transaction.ChangeDeploymentsAsync(
                now,
                $"update deployments set cancel_requested_at = $2, events = events + 1 where id = $1 returning {DeploymentRows.Columns}",
                [id, now], cancellationToken);
            deployment = changed[0];
            await outbox.EnqueueAsync(
                transaction, StoreDeployer.Name, DeploymentCancelRequested.Type, deployment.ShopId, id.ToString(), new DeploymentCancelRequested(id), cancellationToken);
        }

        var accepted = await idempotency.CommitAsync(transaction, TypedResults.Accepted($"/api/deployments/{id}", deployment), cancellationToken);
        signals[DeploymentRows.SignalName].Set();
        return accepted;
    }
}

/// <summary>Retries a failed deployment.</summary>
internal sealed class RetryDeployment(Caller caller, PostgresDatabase database, Outbox outbox, Idempotency idempotency, Signals signals, TimeProvider time)
{
    /// <summary>202 with the deployment, which is <c>queued</c> again and keeps its steps; 404; or 409 if it has not failed or its shop is being deleted.</summary>
    public async Task<Results<Accepted<Deployment>, ProblemHttpResult>> ExecuteAsync(Guid id, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        if (await transaction.LockDeploymentAsync(id, caller, cancellationToken) is not { } deployment)
            return DeploymentProblems.NotFound(id);
        if (deployment.Status != DeploymentStatus.Failed)
            return Problem.Conflict($"Only a failed deployment can be retried; this one is {deployment.Status}.");
        if (await transaction.LockShopAsync(deployment.ShopId, caller, cancellationToken) is not { Status: not ShopStatus.Deleting })
            return Problem.Conflict("The deployment's shop is being deleted or does not exist any more.");

        var changed = await transaction.ChangeDeploymentsAsync(
            time.GetUtcNow(),
            $"""
            update deployments
            set status = 'queued', error = null, finished_at = null, cancel_requested_at = null, events = events + 1
            where id = $1
            returning {DeploymentRows.Columns}
            """,
            [id], cancellationToken);
        await outbox.EnqueueAsync(
            transaction, StoreDeployer.Name, DeploymentRetryRequested.Type, deployment.ShopId, id.ToString(), new DeploymentRetryRequested(id), cancellationToken);
        var accepted = await idempotency.CommitAsync(transaction, TypedResults.Accepted($"/api/deployments/{id}", changed[0]), cancellationToken);
        signals[DeploymentRows.SignalName].Set();
        return accepted;
    }
}

/// <summary>Problems that several endpoints return.</summary>
internal static class DeploymentProblems
{
    public static ProblemHttpResult NotFound(Guid id) => Problem.NotFound($"There is no deployment '{id}'.");
}
