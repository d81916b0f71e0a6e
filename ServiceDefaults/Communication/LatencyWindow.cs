namespace Platform.ServiceDefaults.Communication;

/// <summary>Durations of recent calls, including retries and waiting.</summary>
/// <param name="P50Ms">Median in milliseconds.</param>
/// <param name="P95Ms">95th percentile in milliseconds.</param>
/// <param name="Calls">Number of calls, at most 256.</param>
public sealed record LatencyReport(double P50Ms, double P95Ms, int Calls);

/// <summary>Keeps the durations of the last 256 calls. Percentiles are by nearest rank.</summary>
internal sealed class LatencyWindow
{
    private readonly Lock _gate = new();
    private readonly double[] _durations = new double[256];
    private long _added;

    public void Add(TimeSpan duration)
    {
        lock (_gate)
        {
            _durations[_added++ % _durations.Length] = duration.TotalMilliseconds;
        }
    }

    /// <summary>Null before the first call.</summary>
    public LatencyReport? Report()
    {
        double[] sorted;
        lock (_gate)
        {
            sorted = _durations[..(int)Math.Min(_added, _durations.Length)];
        }

        Array.Sort(sorted);
        return sorted.Length == 0 ? null : new(Rank(0.5), Rank(0.95), sorted.Length);

        double Rank(double share) => Math.Round(sorted[(int)Math.Ceiling(share * sorted.Length) - 1], 1);
    }
}
