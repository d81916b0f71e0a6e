using System.Collections;
using System.Globalization;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Dashboard.Protocol;
using Google.Protobuf.WellKnownTypes;
using Health = Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus;
using Resource = Aspire.Hosting.Dashboard.Protocol.Resource;

namespace Aspire.Hosting.Dashboard;

/// <summary>Snapshots of resources, as the dashboard wants them.</summary>
internal static class ResourceMessages
{
    // The dashboard places its own rows (name, state, …) at 0 to 6.
    private const int FirstSortOrder = 7;

    public static Resource ToMessage(ResourceEvent @event, DateTime modelCreatedAt)
    {
        var snapshot = @event.Snapshot;
        var createdAt = snapshot.CreationTimeStamp ?? modelCreatedAt;
        var resource = new Resource
        {
            Name = @event.ResourceId,
            Uid = @event.ResourceId,
            DisplayName = @event.Resource.Name,
            ResourceType = snapshot.ResourceType,
            State = snapshot.State?.Text ?? string.Empty,
            StateStyle = snapshot.State?.Style ?? string.Empty,
            CreatedAt = ToTimestamp(createdAt),
            StartedAt = ToTimestamp(snapshot.StartTimeStamp),
            StoppedAt = ToTimestamp(snapshot.StopTimeStamp),
            IsHidden = snapshot.IsHidden,
        };
        if (snapshot.IconName is { } icon)
            resource.IconName = icon;

        resource.Environment.AddRange(snapshot.EnvironmentVariables.Select(variable =>
            new EnvironmentVariable { Name = variable.Name, Value = variable.Value ?? string.Empty, IsFromSpec = variable.IsFromSpec }));
        resource.Urls.AddRange(snapshot.Urls.Select(url => new Url
        {
            EndpointName = url.Name ?? string.Empty,
            FullUrl = url.Url,
            IsInternal = url.IsInternal,
            IsInactive = url.IsInactive,
            DisplayProperties = new UrlDisplayProperties { DisplayName = url.DisplayName, SortOrder = url.SortOrder },
        }));
        resource.Relationships.AddRange(snapshot.Relationships.Select(relationship =>
            new ResourceRelationship { ResourceName = relationship.ResourceName, Type = relationship.Type }));
        resource.HealthReports.AddRange(snapshot.HealthReports.Select(ToMessage));
        resource.Commands.AddRange(snapshot.Commands.Select(ToMessage));
        resource.Properties.AddRange(CommonProperties(@event, createdAt).Concat(snapshot.Properties)
            .Select(property => ToMessage(snapshot.ResourceType, property)));
        return resource;
    }

    /// <summary>What every resource has.</summary>
    private static IEnumerable<ResourcePropertySnapshot> CommonProperties(ResourceEvent @event, DateTime createdAt)
    {
        var snapshot = @event.Snapshot;
        yield return new("resource.uid", @event.ResourceId);
        yield return new("resource.name", @event.ResourceId);
        yield return new("resource.type", snapshot.ResourceType);
        yield return new("resource.displayName", @event.Resource.Name);
        yield return new("resource.state", snapshot.State?.Text);
        yield return new("resource.exitCode", snapshot.ExitCode);
        yield return new("resource.createTime", createdAt);
        yield return new("resource.startTime", snapshot.StartTimeStamp);
        yield return new("resource.stopTime", snapshot.StopTimeStamp);
        yield return new("resource.healthState", snapshot.HealthStatus?.ToString());
    }

    private static ResourceProperty ToMessage(string resourceType, ResourcePropertySnapshot property)
    {
        var (displayName, order) = KnownProperty(resourceType, property.Name);
        var message = new ResourceProperty
        {
            Name = property.Name,
            Value = ToValue(property.Value),
            IsSensitive = property.IsSensitive,
            IsHighlighted = property.IsHighlighted || displayName is not null,
        };
        if ((property.DisplayName ?? displayName) is { } label)
            message.DisplayName = label;
        if ((property.SortOrder ?? order) is { } sortOrder)
            message.SortOrder = sortOrder;
        return message;
    }

    private static (string? DisplayName, int? Order) KnownProperty(string resourceType, string name) => (resourceType, name) switch
    {
        (KnownResourceTypes.Project, KnownProperties.ProjectPath) => ("Project path", FirstSortOrder),
        (KnownResourceTypes.Project, KnownProperties.ProjectLaunchProfile) => ("Launch profile", FirstSortOrder + 1),
        (KnownResourceTypes.Project, KnownProperties.ExecutablePid) => ("Process ID", FirstSortOrder + 2),
        (KnownResourceTypes.Executable, KnownProperties.ExecutablePath) => ("Executable path", FirstSortOrder),
        (KnownResourceTypes.Executable, KnownProperties.ExecutableWorkDir) => ("Working directory", FirstSortOrder + 1),
        (KnownResourceTypes.Executable, KnownProperties.ExecutableArgs) => ("Executable arguments", FirstSortOrder + 2),
        (KnownResourceTypes.Executable, KnownProperties.ExecutablePid) => ("Process ID", FirstSortOrder + 3),
        (KnownResourceTypes.Container, KnownProperties.ContainerImage) => ("Container image", FirstSortOrder),
        (KnownResourceTypes.Container, KnownProperties.ContainerId) => ("Container ID", FirstSortOrder + 1),
        _ => (null, null),
    };

    private static HealthReport ToMessage(HealthReportSnapshot report)
    {
        var message = new HealthReport { Key = report.Name, Description = report.Description ?? string.Empty, Exception = report.ExceptionText ?? string.Empty };
        if (report.Status is { } status)
        {
            message.Status = status switch
            {
                Health.Healthy => HealthStatus.Healthy,
                Health.Degraded => HealthStatus.Degraded,
                _ => HealthStatus.Unhealthy,
            };
        }

        message.LastRunAt = ToTimestamp(report.LastRunAt);
        return message;
    }

    private static ResourceCommand ToMessage(ResourceCommandSnapshot command) => new()
    {
        Name = command.Name,
        DisplayName = command.DisplayName,
        DisplayDescription = command.DisplayDescription ?? string.Empty,
        ConfirmationMessage = command.ConfirmationMessage ?? string.Empty,
        IconName = command.IconName ?? string.Empty,
        IconVariant = command.IconIsFilled ? Protocol.IconVariant.Filled : Protocol.IconVariant.Regular,
        IsHighlighted = command.IsHighlighted,
        State = (Protocol.ResourceCommandState)command.State,
    };

    private static Value ToValue(object? value) => value switch
    {
        null => Value.ForNull(),
        string text => Value.ForString(text),
        bool flag => Value.ForBool(flag),
        int or long or double or float or short => Value.ForNumber(Convert.ToDouble(value, CultureInfo.InvariantCulture)),
        DateTime time => Value.ForString(time.ToUniversalTime().ToString("O", CultureInfo.InvariantCulture)),
        IDictionary<string, string> map => Value.ForStruct(new Struct { Fields = { map.ToDictionary(pair => pair.Key, pair => Value.ForString(pair.Value)) } }),
        IEnumerable list => Value.ForList([.. list.Cast<object?>().Select(ToValue)]),
        _ => Value.ForString(Convert.ToString(value, CultureInfo.InvariantCulture) ?? string.Empty),
    };

    private static Timestamp? ToTimestamp(DateTime? time) => time is { } value ? Timestamp.FromDateTime(value.ToUniversalTime()) : null;
}
