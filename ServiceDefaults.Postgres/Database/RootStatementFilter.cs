using System.Diagnostics;
using OpenTelemetry;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Drops statements that belong to no request or job, such as the polls of a queue: there is one each second and nobody looks for them.</summary>
internal sealed class RootStatementFilter : BaseProcessor<Activity>
{
    public override void OnStart(Activity data)
    {
        if (data.Source.Name == "Npgsql" && data.ParentSpanId == default)
        {
            data.IsAllDataRequested = false;
            data.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
        }
    }
}
