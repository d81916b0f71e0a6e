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

    private readonly Lock _lock = new();
    private long _saved = (long)(options().Reserve * Unit);

    /// <summary>Retries available now, including fractions.</summary>
    public double Left => (double)Volatile.Read(ref _saved) / Unit;

    /// <summary>Call after a success: saves a fraction of a retry, up to <see cref="RetryBudgetOptions.MaxSaved"/>.</summary>
    public void Earn()
    {
        var policy = options();
        lock (_lock)
        {
            // A reserve above MaxSaved is kept until it is spent.
            _saved = Math.Max(_saved, Math.Min((long)(policy.MaxSaved * Unit), _saved + (long)(policy.PerSuccess * Unit)));
        }
    }

    /// <summary>Takes one retry. False when there is none left.</summary>
    public bool TryTake()
    {
        lock (_lock)
        {
            if (_saved < Unit)
            {
                return false;
            }

            _saved -= Unit;
            return true;
        }
    }
}
