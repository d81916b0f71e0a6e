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

    /// <summary>The template that the release is made of.</summary>
    public required DeployedTemplate Template { get; init; }

    /// <summary><c>queued</c>, <c>running</c>, then finally <c>live</c>, <c>failed</c>, <c>superseded</c> or <c>cancelled</c>.</summary>
    public required string Status { get; init; }

    /// <summary>The steps begun so far, in order: fetch, render, store, verify, activate.</summary>
    public required IReadOnlyList<DeploymentStep> Steps { get; init; }

    /// <summary>The store's address, once live.</summary>
    public string? Url { get; init; }

    /// <summary>The release that went live.</summary>
    public Guid? Release { get; init; }

    /// <summary>The release that a rollback is to bring back.</summary>
    public Guid? RollbackTo { get; init; }

    /// <summary>Why it failed.</summary>
    public DeploymentError? Error { get; init; }

    /// <summary>When a cancel was asked for, UTC. It may still go live when the cancel comes too late.</summary>
    public DateTimeOffset? CancelRequestedAt { get; init; }

    /// <summary>When it was accepted, UTC.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it became final, UTC.</summary>
    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Whether the status is final.</summary>
    [JsonIgnore]
    public bool IsFinal => DeploymentStatus.IsFinal(Status);
}

/// <summary>The template that a release is made of.</summary>
/// <param name="Name">The template's name.</param>
/// <param name="Version">The semantic version.</param>
/// <param name="Digest"><c>sha256:</c> and the hexadecimal SHA-256 of the bundle.</param>
public sealed record DeployedTemplate(string Name, string Version, string Digest);

/// <summary>One step of a deployment.</summary>
/// <param name="Name"><c>fetch</c>, <c>render</c>, <c>store</c>, <c>verify</c> or <c>activate</c>.</param>
/// <param name="StartedAt">When it was first begun, UTC.</param>
/// <param name="FinishedAt">When it was done, UTC.</param>
/// <param name="Attempts">How many times it was begun.</param>
/// <param name="Error">What went wrong the last time.</param>
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

/// <summary>What a deployment's status can be.</summary>
public static class DeploymentStatus
{
    /// <summary>Accepted, not begun.</summary>
    public const string Queued = "queued";

    /// <summary>A worker has it.</summary>
    public const string Running = "running";

    /// <summary>Its release is, or was, the store.</summary>
    public const string Live = "live";

    /// <summary>It ended for a permanent reason, or a step's attempts were used up; it can be retried.</summary>
    public const string Failed = "failed";

    /// <summary>A newer deployment of the shop was accepted before it began.</summary>
    public const string Superseded = "superseded";

    /// <summary>It was cancelled before it went live.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>Whether nothing more comes after <paramref name="status"/>, unless a failed deployment is retried.</summary>
    public static bool IsFinal(string status) => status is Live or Failed or Superseded or Cancelled;
}

/// <summary>What to deploy other than the shop as it stands.</summary>
public sealed record DeploymentInput
{
    /// <summary>Another version of the shop's template, for this deployment only.</summary>
    public string? Version { get; init; }
}

/// <summary>What to roll back to.</summary>
public sealed record RollbackInput
{
    /// <summary>A release that was live before; the one before the present one when left out.</summary>
    public Guid? Release { get; init; }
}
