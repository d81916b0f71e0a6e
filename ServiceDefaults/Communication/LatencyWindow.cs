namespace Platform.ServiceDefaults.Communication;

/// <summary>How long the last calls took, retries and waiting included.</summary>
/// <param name="P50Ms">Milliseconds that half of them did not exceed.</param>
/// <param name="P95Ms">Milliseconds that 95 % of them did not exceed.</param>
/// <param name="Calls">How many calls that is; 256 at most.</param>
public sealed record LatencyReport(double P50Ms, double P95Ms, int Calls);

/// <summary>The last calls' durations. Percentiles by nearest rank.</summary>
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

    /// <summary>Null when there was no call yet.</summary>
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
