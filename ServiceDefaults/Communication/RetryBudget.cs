namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// Limits how much load retries may add to a destination: each success earns a fraction of a retry, each retry spends one. While most
/// calls succeed there is always budget; when the destination is down it is used up after <see cref="RetryBudgetOptions.Reserve"/> retries and
/// the load stays that of the first sends.
/// </summary>
/// <remarks>
/// The scheme of Finagle's RetryBudget and gRPC's retry throttling (gRFC A6), one per destination and process. It starts with the reserve.
/// Thousandths are counted, so that a fraction such as 0.1 adds up exactly.
/// </remarks>
public sealed class RetryBudget(Func<RetryBudgetOptions> options)
{
    private const int Unit = 1000;

    private long _saved = (long)(options().Reserve * Unit);

    /// <summary>Retries that could be taken now, fractions included.</summary>
    public double Left => (double)Volatile.Read(ref _saved) / Unit;

    /// <summary>A call succeeded: a fraction of a retry is saved, up to <see cref="RetryBudgetOptions.MaxSaved"/>.</summary>
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

    /// <summary>Takes one retry, or says that there is none left.</summary>
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
