using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Aspire.Hosting.ApplicationModel;

public class ResourceEvent(IResource resource, string resourceId, CustomResourceSnapshot snapshot)
{
    public IResource Resource { get; } = resource;

    /// <summary>The instance: the resource's name, or one name per replica.</summary>
    public string ResourceId { get; } = resourceId;

    public CustomResourceSnapshot Snapshot { get; } = snapshot;
}

/// <summary>All that is known of a resource at one moment.</summary>
public sealed record CustomResourceSnapshot
{
    public required string ResourceType { get; init; }

    public required ImmutableArray<ResourcePropertySnapshot> Properties { get; init; }

    public DateTime? CreationTimeStamp { get; init; }

    public DateTime? StartTimeStamp { get; init; }

    public DateTime? StopTimeStamp { get; init; }

    public ResourceStateSnapshot? State { get; init; }

    public int? ExitCode { get; init; }

    /// <summary>Null unless the resource runs; the worst of its health reports otherwise.</summary>
    public HealthStatus? HealthStatus => State?.Text != KnownResourceStates.Running
        ? null
        : HealthReports.IsEmpty
            ? Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus.Healthy
            : HealthReports.Min(r => r.Status) ?? Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus.Unhealthy;

    public ImmutableArray<UrlSnapshot> Urls { get; init; } = [];

    public bool IsHidden { get; init; }

    public string? IconName { get; init; }

    internal ImmutableArray<HealthReportSnapshot> HealthReports { get; init; } = [];

    internal ImmutableArray<EnvironmentVariableSnapshot> EnvironmentVariables { get; init; } = [];

    internal ImmutableArray<ResourceCommandSnapshot> Commands { get; init; } = [];

    internal ImmutableArray<RelationshipSnapshot> Relationships { get; init; } = [];

    /// <summary>Set when the resource has become ready for those that wait for it; the task ends when the event's handlers have.</summary>
    internal Task? Ready { get; init; }

    /// <summary>Grows with each update of the instance.</summary>
    internal long Version { get; init; }
}

public sealed record ResourceStateSnapshot(string Text, string? Style)
{
    [return: NotNullIfNotNull(nameof(state))]
    public static implicit operator ResourceStateSnapshot?(string? state) => state is null ? null : new(state, null);
}

public sealed record ResourcePropertySnapshot(string Name, object? Value)
{
    public string? DisplayName { get; init; }

    public bool IsSensitive { get; init; }

    public bool IsHighlighted { get; init; }

    public int? SortOrder { get; init; }
}

public sealed record UrlSnapshot(string? Name, string Url, bool IsInternal)
{
    public bool IsInactive { get; init; }

    internal string DisplayName { get; init; } = "";

    internal int SortOrder { get; init; }
}

/// <param name="Status">Null until the check has run once.</param>
internal sealed record HealthReportSnapshot(string Name, HealthStatus? Status, string? Description, string? ExceptionText)
{
    public DateTime? LastRunAt { get; init; }
}

/// <param name="IsFromSpec">Set by the model, not inherited from the environment of the AppHost.</param>
internal sealed record EnvironmentVariableSnapshot(string Name, string? Value, bool IsFromSpec)
{
    public bool IsSensitive { get; init; }
}

internal sealed record RelationshipSnapshot(string ResourceName, string Type);

internal sealed record ResourceCommandSnapshot(
    string Name,
    ResourceCommandState State,
    string DisplayName,
    string? DisplayDescription,
    string? ConfirmationMessage,
    string? IconName,
    bool IconIsFilled,
    bool IsHighlighted);

public static class KnownResourceStates
{
    public static readonly string Starting = nameof(Starting);
    public static readonly string Running = nameof(Running);
    public static readonly string FailedToStart = nameof(FailedToStart);
    public static readonly string RuntimeUnhealthy = nameof(RuntimeUnhealthy);
    public static readonly string Stopping = nameof(Stopping);
    public static readonly string Exited = nameof(Exited);
    public static readonly string Finished = nameof(Finished);
    public static readonly string Waiting = nameof(Waiting);
    public static readonly string NotStarted = nameof(NotStarted);
    public static readonly string Building = nameof(Building);
    public static readonly string ValueMissing = "Value missing";
    public static readonly string Active = nameof(Active);
    public static readonly IReadOnlyList<string> TerminalStates = [Finished, FailedToStart, Exited];
}

internal static class KnownResourceTypes
{
    public const string Project = nameof(Project);
    public const string Executable = nameof(Executable);
    public const string Container = nameof(Container);
    public const string Parameter = nameof(Parameter);
    public const string ConnectionString = nameof(ConnectionString);
}

/// <summary>Names of properties that the dashboard gives a place of their own.</summary>
internal static class KnownProperties
{
    public const string ExecutablePath = "executable.path";
    public const string ExecutableWorkDir = "executable.workDir";
    public const string ExecutableArgs = "executable.args";
    public const string ExecutablePid = "executable.pid";
    public const string ProjectPath = "project.path";
    public const string ProjectLaunchProfile = "project.launchProfile";
    public const string ContainerImage = "container.image";
    public const string ContainerId = "container.id";
    public const string ConnectionString = "resource.connectionString";
    public const string Source = "resource.source";
    public const string ParentName = "resource.parentName";
    public const string AppArgs = "resource.appArgs";
    public const string ParameterValue = "Value";
}
