using System.Text.Json;
using Platform.Backend.Catalog;

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

/// <summary>The shop as it was when the deployment was accepted. Later edits need another deployment. Empty lists and the usual values are left out.</summary>
internal sealed record ShopSnapshot(
    string Name,
    IReadOnlyDictionary<string, JsonElement> Settings,
    IReadOnlyList<SnapshotProduct> Products,
    string? Currency,
    string Locale,
    IReadOnlyList<SnapshotCollection>? Collections);

/// <summary>A product in a snapshot.</summary>
/// <param name="Sku">The merchant's number for it.</param>
/// <param name="Name">The name that visitors see.</param>
/// <param name="Description">Plain text with line breaks.</param>
/// <param name="Price">With variants, the lowest of their prices.</param>
/// <param name="Currency">The ISO 4217 code.</param>
/// <param name="ImageUrl">The image's address.</param>
/// <param name="CompareAtPrice">The former or recommended price.</param>
/// <param name="Options">The names of what variants differ in.</param>
/// <param name="Variants">What can be bought instead of the product itself.</param>
/// <param name="Available">False if it is sold out.</param>
internal sealed record SnapshotProduct(
    string Sku,
    string Name,
    string? Description,
    decimal Price,
    string Currency,
    string? ImageUrl,
    decimal? CompareAtPrice,
    IReadOnlyList<string>? Options,
    IReadOnlyList<SnapshotVariant>? Variants,
    bool? Available)
{
    public static SnapshotProduct Of(Product product) => new(
        product.Sku, product.Name, product.Description, product.Price, product.Currency, product.ImageUrl, product.CompareAtPrice,
        product.Options.Count > 0 ? product.Options : null,
        product.Variants.Count > 0 ? [.. product.Variants.Select(variant => new SnapshotVariant(variant.Sku, variant.Values, variant.Price, variant.Available))] : null,
        product.Available ? null : false);
}

/// <summary>A variant in a snapshot.</summary>
internal sealed record SnapshotVariant(string Sku, IReadOnlyList<string> Values, decimal Price, bool Available);

/// <summary>A collection in a snapshot.</summary>
internal sealed record SnapshotCollection(string Slug, string Name, string? Description, IReadOnlyList<string> Skus);

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
