using System.Text.Json;
using Platform.ServiceDefaults;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Deployments;

/// <summary>queued → running → live | failed; queued → superseded | cancelled.</summary>
internal enum DeploymentStatus
{
    Queued,
    Running,
    Live,
    Failed,
    Superseded,
    Cancelled,
}

internal static class DeploymentStatusExtensions
{
    /// <summary>The status as the database and the messages spell it.</summary>
    public static string Text(this DeploymentStatus status) => status.ToString().ToLowerInvariant();

    public static bool IsFinal(this DeploymentStatus status) => status is not (DeploymentStatus.Queued or DeploymentStatus.Running);
}

internal static class DeploymentKind
{
    public const string Deployment = "deployment";
    public const string Rollback = "rollback";
}

/// <summary>Why a deployment failed, or what it waits for.</summary>
/// <param name="Code">Stable, kebab-case.</param>
/// <param name="Message">For people.</param>
public sealed record DeploymentError(string Code, string Message)
{
    internal static readonly DeploymentError ShopDeleted = new("shop-deleted", "The shop was deleted.");

    internal static DeploymentError? FromJson(string? json) => json is null ? null : JsonSerializer.Deserialize<DeploymentError>(json, PlatformJson.Tolerant);

    internal string ToJson() => JsonSerializer.Serialize(this, PlatformJson.Tolerant);
}

/// <summary>A step of a deployment.</summary>
/// <param name="Name">fetch, render, store, verify or activate.</param>
/// <param name="StartedAt">When its last attempt began.</param>
/// <param name="FinishedAt">When it finished.</param>
/// <param name="Attempts">Attempts that completed or are running. One that was interrupted, or that only waited for a dependency, doesn't count.</param>
/// <param name="Error">Why its last attempt failed, or what it waits for.</param>
public sealed record DeploymentStep(string Name, DateTimeOffset? StartedAt, DateTimeOffset? FinishedAt, int Attempts, DeploymentError? Error);

/// <summary>The template that a deployment uses.</summary>
public sealed record DeployedTemplate(string Name, string Version, string Digest);

/// <summary>The shop as it was when the deployment was accepted.</summary>
internal sealed record ShopSnapshot(string Name, IReadOnlyDictionary<string, JsonElement> Settings, IReadOnlyList<ProductSpec> Products)
{
    /// <summary>ISO 4217 code; messages of former versions have only that of each product.</summary>
    public string? Currency { get; init; }

    /// <summary>BCP 47 tag.</summary>
    public string? Locale { get; init; }

    public IReadOnlyList<CollectionSpec>? Collections { get; init; }

    public StoreSpec ToStore(string slug, Uri url)
    {
        var store = new StoreSpec(slug, url, Name, Settings, Products);
        return store with { Currency = Currency ?? store.Currency, Locale = Locale ?? store.Locale, Collections = Collections ?? [] };
    }
}

/// <summary>A worker's claim on a deployment. Each write for the deployment is conditional on the worker and the fencing token.</summary>
internal record DeploymentLease(Guid Id, Guid ShopId, Guid Worker, long FencingToken);

/// <summary>A claimed deployment.</summary>
internal sealed record DeploymentJob(
    Guid Id, Guid ShopId, Guid Worker, long FencingToken, long Sequence, string Kind, string Slug, string? TemplateName, string? TemplateVersion, string? TemplateDigest,
    string Spec, Guid? RollbackTo, int Waits, string? CorrelationId, string? Traceparent) : DeploymentLease(Id, ShopId, Worker, FencingToken)
{
    public ShopSnapshot Shop => JsonSerializer.Deserialize<ShopSnapshot>(Spec, PlatformJson.Tolerant)!;
}

/// <summary>The worker no longer holds the deployment: another one took it over, or it is final. The worker's further writes for it are rejected.</summary>
internal sealed class LeaseLostException(DeploymentLease lease) : Exception($"The lease {lease.FencingToken} on deployment {lease.Id} is lost.");

/// <summary>Retrying can't help: the deployment fails at once.</summary>
internal sealed class PermanentFailureException(string code, string message, Exception? inner = null) : Exception(message, inner)
{
    public string Code { get; } = code;
}

/// <summary>A dependency is unavailable. The deployment waits in the queue; its attempts are not used up.</summary>
internal sealed class MustWaitException(string code, string message, TimeSpan? retryAfter = null, Exception? inner = null) : Exception(message, inner)
{
    public string Code { get; } = code;

    /// <summary>The delay that the dependency asked for.</summary>
    public TimeSpan? RetryAfter { get; } = retryAfter;
}

/// <summary>The mutable state of a step while its deployment runs.</summary>
internal sealed class StepState(short position, string name)
{
    public short Position { get; } = position;

    public string Name { get; } = name;

    public DateTimeOffset? StartedAt { get; set; }

    public DateTimeOffset? FinishedAt { get; set; }

    public int Attempts { get; set; }

    /// <summary>Failures of the step itself (not of a dependency) since the deployment was requested or retried.</summary>
    public int Failures { get; set; }

    public DeploymentError? Error { get; set; }

    public StepState Copy() => (StepState)MemberwiseClone();

    public DeploymentStep Snapshot() => new(Name, StartedAt, FinishedAt, Attempts, Error);
}
