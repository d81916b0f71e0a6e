using System.Text.Json.Serialization;

namespace Platform.Backend.Deployments;

/// <summary>One deployment of a shop, or one rollback of its store.</summary>
public sealed record Deployment
{
    /// <summary>The deployment's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>The shop.</summary>
    public required Guid ShopId { get; init; }

    /// <summary><c>deployment</c> or <c>rollback</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>The template that the release is rendered from.</summary>
    public required DeployedTemplate Template { get; init; }

    /// <summary><c>queued</c>, <c>running</c>, then finally <c>live</c>, <c>failed</c>, <c>superseded</c> or <c>cancelled</c>.</summary>
    public required string Status { get; init; }

    /// <summary>The steps begun so far, in order: fetch, render, store, verify, activate.</summary>
    public required IReadOnlyList<DeploymentStep> Steps { get; init; }

    /// <summary>The store's address, once live.</summary>
    public string? Url { get; init; }

    /// <summary>The release that went live.</summary>
    public Guid? Release { get; init; }

    /// <summary>The release that a rollback restores.</summary>
    public Guid? RollbackTo { get; init; }

    /// <summary>Why it failed.</summary>
    public DeploymentError? Error { get; init; }

    /// <summary>When its cancellation was requested, UTC. It may still go live if the request comes too late.</summary>
    public DateTimeOffset? CancelRequestedAt { get; init; }

    /// <summary>When it was accepted, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it became final, UTC.</summary>
    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Whether the status is final.</summary>
    [JsonIgnore]
    public bool IsFinal => DeploymentStatus.IsFinal(Status);
}

/// <summary>The template that a release is rendered from.</summary>
/// <param name="Name">The template's name.</param>
/// <param name="Version">The semantic version.</param>
/// <param name="Digest"><c>sha256:</c> and the hexadecimal SHA-256 of the bundle.</param>
public sealed record DeployedTemplate(string Name, string Version, string Digest);

/// <summary>One step of a deployment.</summary>
/// <param name="Name"><c>fetch</c>, <c>render</c>, <c>store</c>, <c>verify</c> or <c>activate</c>.</param>
/// <param name="StartedAt">When its last attempt began, UTC.</param>
/// <param name="FinishedAt">When it finished, UTC.</param>
/// <param name="Attempts">How many attempts were made.</param>
/// <param name="Error">Why the last attempt failed, or what it waits for.</param>
public sealed record DeploymentStep(
    string Name,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.Never)] DateTimeOffset? StartedAt = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.Never)] DateTimeOffset? FinishedAt = null,
    int Attempts = 0,
    DeploymentError? Error = null);

/// <summary>Why a step or a deployment failed.</summary>
/// <param name="Code">A stable kebab-case code.</param>
/// <param name="Message">A sentence for people.</param>
public sealed record DeploymentError(string Code, string Message);

/// <summary>The values of a deployment's status.</summary>
public static class DeploymentStatus
{
    /// <summary>Accepted and waiting for a worker.</summary>
    public const string Queued = "queued";

    /// <summary>A worker is executing its steps.</summary>
    public const string Running = "running";

    /// <summary>Its release went live, and may have been replaced since.</summary>
    public const string Live = "live";

    /// <summary>It failed permanently, or a step used up its attempts; it can be retried.</summary>
    public const string Failed = "failed";

    /// <summary>A newer deployment of the shop was accepted before it began.</summary>
    public const string Superseded = "superseded";

    /// <summary>It was cancelled before it went live.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>Whether a deployment with this status is finished, unless it failed and is retried.</summary>
    public static bool IsFinal(string status) => status is Live or Failed or Superseded or Cancelled;
}

/// <summary>Options of a deployment.</summary>
public sealed record DeploymentInput
{
    /// <summary>Another version of the shop's template, for this deployment only.</summary>
    public string? Version { get; init; }
}

/// <summary>Options of a rollback.</summary>
public sealed record RollbackInput
{
    /// <summary>A release that was live before; by default the one before the current one.</summary>
    public Guid? Release { get; init; }
}
