using System.Text.Json;
using Platform.Backend.Shops;

namespace Platform.Backend.Deployments;

/// <summary>The destination of Backend's messages. Their partition key is always the shop's id.</summary>
internal static class StoreDeployer
{
    public const string Name = "store-deployer";
}

/// <summary>Sent by Backend: deploy the shop's store, or roll it back to an earlier release.</summary>
internal sealed record DeploymentRequested(
    Guid DeploymentId,
    Guid ShopId,
    string Slug,
    string Kind,
    int Priority,
    DeployedTemplate Template,
    ShopSnapshot Shop,
    Guid? RollbackTo,
    DateTimeOffset RequestedAt)
{
    public const string Type = "deployment.requested";
}

/// <summary>The shop as it was when the deployment was accepted. Later edits need another deployment.</summary>
internal sealed record ShopSnapshot(string Name, IReadOnlyDictionary<string, JsonElement> Settings, IReadOnlyList<Product> Products);

/// <summary>Sent by Backend: cancel a deployment.</summary>
internal sealed record DeploymentCancelRequested(Guid DeploymentId)
{
    public const string Type = "deployment.cancel-requested";
}

/// <summary>Sent by Backend: retry a failed deployment.</summary>
internal sealed record DeploymentRetryRequested(Guid DeploymentId)
{
    public const string Type = "deployment.retry-requested";
}

/// <summary>Sent by StoreDeployer while the deployment is queued or running.</summary>
internal sealed record DeploymentProgressed(Guid DeploymentId, string Status, IReadOnlyList<DeploymentStep> Steps, DateTimeOffset At)
{
    public const string Type = "deployment.progressed";
}

/// <summary>Sent by StoreDeployer when the deployment is final.</summary>
internal sealed record DeploymentFinished(
    Guid DeploymentId,
    string Status,
    IReadOnlyList<DeploymentStep> Steps,
    DateTimeOffset FinishedAt,
    string? Url = null,
    Guid? Release = null,
    DeploymentError? Error = null)
{
    public const string Type = "deployment.finished";
}

/// <summary>Sent by Backend: take the shop's store down and cancel its deployments.</summary>
internal sealed record ShopDeleted(Guid ShopId, string Slug)
{
    public const string Type = "shop.deleted";
}

/// <summary>Sent by StoreDeployer: the shop's store is no longer served.</summary>
internal sealed record StoreRemoved(Guid ShopId)
{
    public const string Type = "store.removed";
}

/// <summary>Priorities in StoreDeployer's queue; the lowest goes first.</summary>
internal static class DeploymentPriority
{
    public const int Rollback = 0;
    public const int FirstDeployment = 1;
    public const int Redeployment = 2;
}
