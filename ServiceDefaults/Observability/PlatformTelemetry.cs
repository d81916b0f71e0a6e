using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Platform.ServiceDefaults.Observability;

/// <summary>The source of the platform's own spans and the names of its meters. All of them are exported.</summary>
public static class PlatformTelemetry
{
    /// <summary>Name of <see cref="Source"/>.</summary>
    public const string SourceName = "Platform";

    /// <summary>Prefix of every meter's name, as in <c>platform.messaging</c>.</summary>
    public const string MeterPrefix = "platform.";

    /// <summary>Source of spans for jobs, their steps, messages and calls of service clients.</summary>
    public static ActivitySource Source { get; } = new(SourceName);

    /// <summary>Creates the meter <c>platform.<paramref name="area"/></c>; keep it in a field of a singleton.</summary>
    public static Meter CreateMeter(this IMeterFactory factory, string area) => factory.Create(new MeterOptions(MeterPrefix + area));
}
