using System.Diagnostics.Metrics;
using Platform.ServiceDefaults.Observability;

namespace Platform.Backend.Deployments;

/// <summary>
/// Outcomes and durations of deployments. They are recorded where the outcome is applied exactly once, and calculated from the times in the message, so that its
/// delay doesn't count.
/// </summary>
internal sealed class DeploymentMetrics
{
    private static readonly string[] Kinds = ["deployment", "rollback"];
    private static readonly string[] Outcomes = [DeploymentStatus.Live, DeploymentStatus.Failed, DeploymentStatus.Superseded, DeploymentStatus.Cancelled];

    private readonly Counter<long> _finished;
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _steps;

    public DeploymentMetrics(IMeterFactory meters)
    {
        var meter = meters.CreateMeter("deployments");
        _finished = meter.CreateCounter<long>("platform.deployments.finished", "{deployment}", "Deployments that ended, by kind and outcome.");
        _duration = meter.CreateHistogram("platform.deployments.duration", "s", "Time from a deployment's acceptance to its end, by kind and outcome.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800] });
        _steps = meter.CreateHistogram("platform.deployments.step.duration", "s", "Duration of the last attempt of a finished step, by step.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] });
        // Create every series up front: Prometheus' increase() misses the first value of a new series.
        foreach (var kind in Kinds)
        {
            foreach (var outcome in Outcomes)
                _finished.Add(0, new("kind", kind), new("outcome", outcome));
        }
    }

    public void Finished(Deployment deployment)
    {
        KeyValuePair<string, object?> kind = new("kind", deployment.Kind), outcome = new("outcome", deployment.Status);
        _finished.Add(1, kind, outcome);
        if (deployment.FinishedAt is { } finishedAt)
            _duration.Record(Seconds(deployment.CreatedAt, finishedAt), kind, outcome);
        foreach (var step in deployment.Steps)
        {
            if (step is { StartedAt: { } began, FinishedAt: { } done })
                _steps.Record(Seconds(began, done), new KeyValuePair<string, object?>("step", step.Name));
        }
    }

    // The two times come from the clocks of two machines, so the difference may be negative.
    private static double Seconds(DateTimeOffset from, DateTimeOffset to) => Math.Max(0, (to - from).TotalSeconds);
}
