namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// Limits the load that retries add to a destination: each success earns a fraction of a retry, and each retry spends one. While most calls succeed, the budget never runs
/// out. During an outage it is spent after <see cref="RetryBudgetOptions.Reserve"/> retries, and only first attempts are sent.
/// </summary>
/// <remarks>
/// The scheme of Finagle's RetryBudget and gRPC's retry throttling (gRFC A6), one per destination and process. Counts in thousandths, so that fractions such as 0.1 add up
/// exactly.
/// </remarks>
public sealed class RetryBudget(Func<RetryBudgetOptions> options)
{
    private const int Unit = 1000;

    private long _saved = (long)(options().Reserve * Unit);

    /// <summary>Retries available now, including fractions.</summary>
    public double Left => (double)Volatile.Read(ref _saved) / Unit;

    /// <summary>Call after a success: saves a fraction of a retry, up to <see cref="RetryBudgetOptions.MaxSaved"/>.</summary>
    public void Earn()
    {
        var policy = options();
        var most = (long)(policy.MaxSaved * Unit);
        var earned = (long)(policy.PerSuccess * Unit);
        long seen;
        do
        {
            seen = Volatile.Read(ref _saved);
            if (seen >= most)
            {
                return;
            }
        }
        while (Interlocked.CompareExchange(ref _saved, Math.Min(most, seen + earned), seen) != seen);
    }

    /// <summary>Takes one retry. False when there is none left.</summary>
    public bool TryTake()
    {
        long seen;
        do
        {
            seen = Volatile.Read(ref _saved);
            if (seen < Unit)
            {
                return false;
            }
        }
        while (Interlocked.CompareExchange(ref _saved, seen - Unit, seen) != seen);

        return true;
    }
}
