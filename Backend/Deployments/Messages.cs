using System.Text.Json;
using Platform.Backend.Shops;

namespace Platform.Backend.Deployments;

/// <summary>Where Backend's messages go. The partition key is always the shop's id.</summary>
internal static class StoreDeployer
{
    public const string Name = "store-deployer";
}

/// <summary>Sent by Backend: make the shop's store, or bring an earlier release back.</summary>
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

/// <summary>The shop as it was when the deployment was accepted: a later edit is not deployed by it.</summary>
internal sealed record ShopSnapshot(string Name, IReadOnlyDictionary<string, JsonElement> Settings, IReadOnlyList<Product> Products);

/// <summary>Sent by Backend.</summary>
internal sealed record DeploymentCancelRequested(Guid DeploymentId)
{
    public const string Type = "deployment.cancel-requested";
}

/// <summary>Sent by Backend.</summary>
internal sealed record DeploymentRetryRequested(Guid DeploymentId)
{
    public const string Type = "deployment.retry-requested";
}

/// <summary>Sent by StoreDeployer while it works.</summary>
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

/// <summary>Sent by Backend: the shop's store is to be taken down, and its queued deployments are off.</summary>
internal sealed record ShopDeleted(Guid ShopId, string Slug)
{
    public const string Type = "shop.deleted";
}

/// <summary>Sent by StoreDeployer: nothing of the store is left.</summary>
internal sealed record StoreRemoved(Guid ShopId)
{
    public const string Type = "store.removed";
}

/// <summary>Where a deployment stands in the queue: the lowest goes first.</summary>
internal static class DeploymentPriority
{
    public const int Rollback = 0;
    public const int FirstDeployment = 1;
    public const int Redeployment = 2;
}
