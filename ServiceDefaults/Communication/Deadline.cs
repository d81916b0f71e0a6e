namespace Platform.ServiceDefaults.Communication;

/// <summary>When the work that the current code does for a caller has to be done; it flows with the execution context into every call made for it.</summary>
public static class Deadline
{
    private static readonly AsyncLocal<Entry?> Current = new();

    /// <summary>What is left, or null when nobody waits. Never negative.</summary>
    public static TimeSpan? Left => Current.Value is not { } entry ? null : Max(entry.Total - entry.Time.GetElapsedTime(entry.Began));

    /// <summary>Begins work that has to be done within <paramref name="total"/>, or within what is left already when that is less.</summary>
    /// <returns>Ends it.</returns>
    public static IDisposable Begin(TimeSpan total, TimeProvider time)
    {
        var outer = Current.Value;
        var within = Left is { } left && left < total ? left : total;
        Current.Value = new(within, time.GetTimestamp(), time);
        return new End(outer);
    }

    private static TimeSpan Max(TimeSpan left) => left > TimeSpan.Zero ? left : TimeSpan.Zero;

    private sealed record Entry(TimeSpan Total, long Began, TimeProvider Time);

    private sealed class End(Entry? outer) : IDisposable
    {
        public void Dispose() => Current.Value = outer;
    }
}
