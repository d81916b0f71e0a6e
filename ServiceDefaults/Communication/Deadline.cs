namespace Platform.ServiceDefaults.Communication;

/// <summary>The deadline of the current request. It flows with the execution context into every call made on its behalf.</summary>
public static class Deadline
{
    private static readonly AsyncLocal<Entry?> Current = new();

    /// <summary>The time left, never negative; null without a deadline.</summary>
    public static TimeSpan? Left => Current.Value is not { } entry ? null : Max(entry.Total - entry.Time.GetElapsedTime(entry.Began));

    /// <summary>Sets a deadline <paramref name="total"/> from now, unless there is an earlier one.</summary>
    /// <returns>Restores the previous deadline when disposed.</returns>
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
