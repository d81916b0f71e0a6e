using Npgsql;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Deployments;

/// <summary>From Backend: make the shop's store, or bring an earlier release back (the one before the active one when <paramref name="RollbackTo"/> is absent).</summary>
internal sealed record DeploymentRequested(
    Guid DeploymentId, Guid ShopId, string Slug, string Kind, short Priority, ShopSnapshot Shop, DateTimeOffset RequestedAt, DeployedTemplate? Template = null, Guid? RollbackTo = null)
{
    public const string Type = "deployment.requested";
}

/// <summary>From Backend.</summary>
internal sealed record DeploymentCancelRequested(Guid DeploymentId)
{
    public const string Type = "deployment.cancel-requested";
}

/// <summary>From Backend.</summary>
internal sealed record DeploymentRetryRequested(Guid DeploymentId)
{
    public const string Type = "deployment.retry-requested";
}

/// <summary>From Backend: the shop's store is to be taken down.</summary>
internal sealed record ShopDeleted(Guid ShopId, string Slug)
{
    public const string Type = "shop.deleted";
}

/// <summary>To Backend, while a deployment is not final.</summary>
internal sealed record DeploymentProgressed(Guid DeploymentId, string Status, IReadOnlyList<DeploymentStep> Steps, DateTimeOffset At)
{
    public const string Type = "deployment.progressed";
}

/// <summary>To Backend, once a deployment is final.</summary>
internal sealed record DeploymentFinished(
    Guid DeploymentId, string Status, IReadOnlyList<DeploymentStep> Steps, DateTimeOffset FinishedAt, string? Url = null, Guid? Release = null, DeploymentError? Error = null)
{
    public const string Type = "deployment.finished";
}

/// <summary>To Backend: nothing of the shop's store is served any more.</summary>
internal sealed record StoreRemoved(Guid ShopId)
{
    public const string Type = "store.removed";
}

/// <summary>What Backend is told, in the transaction that makes it so.</summary>
internal sealed class DeploymentEvents(Outbox outbox, StoreUrls urls, TimeProvider time)
{
    public const string Destination = "backend";

    public Task ProgressedAsync(NpgsqlTransaction transaction, Guid shopId, Guid deploymentId, DeploymentStatus status, IReadOnlyList<DeploymentStep> steps, CancellationToken cancellationToken) =>
        EnqueueAsync(transaction, DeploymentProgressed.Type, shopId, deploymentId,
            new DeploymentProgressed(deploymentId, status.Text(), steps, time.GetUtcNow()), cancellationToken);

    public Task FinishedAsync(
        NpgsqlTransaction transaction, Guid shopId, Guid deploymentId, DeploymentStatus status, IReadOnlyList<DeploymentStep> steps, DeploymentError? error, CancellationToken cancellationToken) =>
        EnqueueAsync(transaction, DeploymentFinished.Type, shopId, deploymentId,
            new DeploymentFinished(deploymentId, status.Text(), steps, time.GetUtcNow(), Error: error), cancellationToken);

    public Task LiveAsync(NpgsqlTransaction transaction, DeploymentJob job, Guid release, IReadOnlyList<DeploymentStep> steps, CancellationToken cancellationToken) =>
        EnqueueAsync(transaction, DeploymentFinished.Type, job.ShopId, job.Id,
            new DeploymentFinished(job.Id, DeploymentStatus.Live.Text(), steps, time.GetUtcNow(), urls.Of(job.Slug).AbsoluteUri, release), cancellationToken);

    public Task StoreRemovedAsync(NpgsqlTransaction transaction, Guid shopId, CancellationToken cancellationToken) =>
        EnqueueAsync(transaction, StoreRemoved.Type, shopId, shopId, new StoreRemoved(shopId), cancellationToken);

    public void Wake() => outbox.Wake();

    private Task<Guid> EnqueueAsync(NpgsqlTransaction transaction, string type, Guid shopId, Guid subject, object data, CancellationToken cancellationToken) =>
        outbox.EnqueueAsync(transaction, Destination, type, shopId, subject.ToString(), data, cancellationToken);
}
