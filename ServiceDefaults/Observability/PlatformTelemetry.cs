using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Platform.ServiceDefaults.Observability;

/// <summary>The source of the platform's own spans and the names of its meters, all of them exported.</summary>
public static class PlatformTelemetry
{
    /// <summary>Name of <see cref="Source"/>.</summary>
    public const string SourceName = "Platform";

    /// <summary>What every meter's name starts with: <c>platform.messaging</c>, <c>platform.deployments</c>.</summary>
    public const string MeterPrefix = "platform.";

    /// <summary>Spans of work that is no HTTP call: jobs, messages, steps.</summary>
    public static ActivitySource Source { get; } = new(SourceName);

    /// <summary>Makes the meter <c>platform.<paramref name="area"/></c>; keep it in a field of a singleton.</summary>
    public static Meter CreateMeter(this IMeterFactory factory, string area) => factory.Create(new MeterOptions(MeterPrefix + area));
}
