using System.Diagnostics.Metrics;
using Platform.ServiceDefaults.Observability;

namespace Platform.Backend.Deployments;

/// <summary>How deployments ended and how long they took. Counted where their end is applied exactly once, by what the message says and not by when it came.</summary>
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
        _steps = meter.CreateHistogram("platform.deployments.step.duration", "s", "Time of the last try of a step that was done, by step.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] });
        // every outcome from the start: the first failure is otherwise no increase to who reads the counter
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

    // two machines' clocks
    private static double Seconds(DateTimeOffset from, DateTimeOffset to) => Math.Max(0, (to - from).TotalSeconds);
}
