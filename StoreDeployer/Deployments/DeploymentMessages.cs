using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Deployments;

/// <summary>From Backend: deploy the shop's store, or roll it back to <paramref name="RollbackTo"/> (the release before the active one if null).</summary>
internal sealed record DeploymentRequested(
    Guid DeploymentId, Guid ShopId, string Slug, string Kind, short Priority, ShopSnapshot Shop, DateTimeOffset RequestedAt, DeployedTemplate? Template = null, Guid? RollbackTo = null)
{
    public const string Type = "deployment.requested";
}

/// <summary>From Backend: cancel a deployment that is not final.</summary>
internal sealed record DeploymentCancelRequested(Guid DeploymentId)
{
    public const string Type = "deployment.cancel-requested";
}

/// <summary>From Backend: put a failed deployment back into the queue.</summary>
internal sealed record DeploymentRetryRequested(Guid DeploymentId)
{
    public const string Type = "deployment.retry-requested";
}

/// <summary>From Backend: take the shop's store down.</summary>
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

/// <summary>To Backend: the shop's store is no longer served.</summary>
internal sealed record StoreRemoved(Guid ShopId)
{
    public const string Type = "store.removed";
}

/// <summary>The messages to Backend. They are enqueued in the transaction that makes the change.</summary>
internal sealed class DeploymentEvents(Outbox outbox, IOptions<StoreOptions> options, TimeProvider time)
{
    public const string Destination = "backend";

    /// <summary>The deployment has this status now; for <see cref="Live"/> there is a message of its own.</summary>
    public Statements Changed(Guid shopId, Guid deploymentId, DeploymentStatus status, IReadOnlyList<DeploymentStep> steps, DeploymentError? error = null) => status.IsFinal()
        ? Enqueue(DeploymentFinished.Type, shopId, deploymentId, new DeploymentFinished(deploymentId, status.Text(), steps, time.GetUtcNow(), Error: error))
        : Enqueue(DeploymentProgressed.Type, shopId, deploymentId, new DeploymentProgressed(deploymentId, status.Text(), steps, time.GetUtcNow()));

    public Statements Live(DeploymentJob job, Guid release, IReadOnlyList<DeploymentStep> steps) =>
        Enqueue(DeploymentFinished.Type, job.ShopId, job.Id,
            new DeploymentFinished(job.Id, DeploymentStatus.Live.Text(), steps, time.GetUtcNow(), options.Value.UrlOf(job.Slug).AbsoluteUri, release));

    public Statements StoreRemoved(Guid shopId) => Enqueue(Deployments.StoreRemoved.Type, shopId, shopId, new StoreRemoved(shopId));

    public void Wake() => outbox.Wake();

    private Statements Enqueue(string type, Guid shopId, Guid subject, object data) =>
        outbox.Enqueue(Destination, type, shopId, subject.ToString(), data, out _);
}
