using Platform.ServiceDefaults.Postgres.Database;
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

    public Statements Progressed(Guid shopId, Guid deploymentId, DeploymentStatus status, IReadOnlyList<DeploymentStep> steps) =>
        Enqueue(DeploymentProgressed.Type, shopId, deploymentId, new DeploymentProgressed(deploymentId, status.Text(), steps, time.GetUtcNow()));

    public Statements Finished(Guid shopId, Guid deploymentId, DeploymentStatus status, IReadOnlyList<DeploymentStep> steps, DeploymentError? error) =>
        Enqueue(DeploymentFinished.Type, shopId, deploymentId, new DeploymentFinished(deploymentId, status.Text(), steps, time.GetUtcNow(), Error: error));

    public Statements Live(DeploymentJob job, Guid release, IReadOnlyList<DeploymentStep> steps) =>
        Enqueue(DeploymentFinished.Type, job.ShopId, job.Id,
            new DeploymentFinished(job.Id, DeploymentStatus.Live.Text(), steps, time.GetUtcNow(), urls.Of(job.Slug).AbsoluteUri, release));

    public Statements StoreRemoved(Guid shopId) => Enqueue(Deployments.StoreRemoved.Type, shopId, shopId, new StoreRemoved(shopId));

    public void Wake() => outbox.Wake();

    private Statements Enqueue(string type, Guid shopId, Guid subject, object data) =>
        outbox.Enqueue(Destination, type, shopId, subject.ToString(), data, out _);
}
