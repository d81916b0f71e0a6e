using System.Globalization;

namespace Platform.ResilienceTesting;

/// <summary>The description of a fault. <see cref="FaultInjector.Start"/> puts it in force.</summary>
public abstract record Fault
{
    private readonly double _probability = 1;

    private protected Fault()
    {
    }

    /// <summary>
    /// The share of connections affected, 0 to 1; 1 by default. Whether the n-th connection is affected depends only on the seed.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not between 0 and 1.</exception>
    public double Probability
    {
        get => _probability;
        init
        {
            // Negated so that NaN is refused too.
            if (!(value >= 0 && value <= 1))
                throw new ArgumentOutOfRangeException(nameof(value), value, "A probability is between 0 and 1.");
            _probability = value;
        }
    }

    private protected abstract string Words { get; }

    /// <summary>The fault in words, for example <c>latency of 200 ms ± 50 ms on 30 % of the connections</c>.</summary>
    public sealed override string ToString() =>
        Probability < 1 ? string.Create(CultureInfo.InvariantCulture, $"{Words} on {Probability * 100:0.##} % of the connections") : Words;

    private protected static string Text(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.###} ms");

    private protected static TimeSpan NotNegative(TimeSpan value, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, TimeSpan.Zero, name);
        return value;
    }

    private protected static TimeSpan Positive(TimeSpan value, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero, name);
        return value;
    }

    private protected static long Positive(long value, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, 1, name);
        return value;
    }
}

/// <summary>Delays each piece of a reply by <paramref name="Delay"/> ± <paramref name="Jitter"/>; requests are not delayed.</summary>
public sealed record LatencyFault(TimeSpan Delay, TimeSpan Jitter) : Fault
{
    /// <summary>The mean delay.</summary>
    public TimeSpan Delay { get; } = NotNegative(Delay, nameof(Delay));

    /// <summary>The largest deviation from the mean; uniformly distributed.</summary>
    public TimeSpan Jitter { get; } = NotNegative(Jitter, nameof(Jitter));

    private protected override string Words => Jitter > TimeSpan.Zero ? $"latency of {Text(Delay)} ± {Text(Jitter)}" : $"latency of {Text(Delay)}";
}

/// <summary>Open connections are reset (RST) immediately; new ones are accepted and reset at their first byte.</summary>
public sealed record ResetFault : Fault
{
    private protected override string Words => "reset";
}

/// <summary>Connections are accepted, and all bytes in both directions are discarded. When the fault ends, connections that lost bytes are reset.</summary>
public sealed record BlackHoleFault : Fault
{
    private protected override string Words => "black hole";
}

/// <summary>Forwards at most <paramref name="MaxBytes"/> at a time in both directions, with a pause before each piece.</summary>
public sealed record SliceFault(int MaxBytes, TimeSpan Pause) : Fault
{
    /// <summary>Bytes per piece, 1 or more.</summary>
    public int MaxBytes { get; } = (int)Positive(MaxBytes, nameof(MaxBytes));

    /// <summary>The pause before each piece; none when zero.</summary>
    public TimeSpan Pause { get; } = NotNegative(Pause, nameof(Pause));

    private protected override string Words => Pause > TimeSpan.Zero ? $"slices of {MaxBytes} B, {Text(Pause)} apart" : $"slices of {MaxBytes} B";
}

/// <summary>The client gets the end of the stream (FIN) instead of replies, while its requests still reach the target.</summary>
public sealed record HalfCloseFault : Fault
{
    private protected override string Words => "half-close";
}

/// <summary>Limits each direction of each connection to <paramref name="BytesPerSecond"/>.</summary>
public sealed record BandwidthFault(long BytesPerSecond) : Fault
{
    /// <summary>Bytes per second, 1 or more.</summary>
    public long BytesPerSecond { get; } = Positive(BytesPerSecond, nameof(BytesPerSecond));

    private protected override string Words => $"bandwidth of {BytesPerSecond} B/s";
}

/// <summary>Ends the connection (FIN) after a number of bytes of a reply: of its body for HTTP/1, of the whole reply for other protocols.</summary>
public sealed record CutBodyFault(long AfterBytes) : Fault
{
    /// <summary>Bytes that still pass, 0 or more.</summary>
    public long AfterBytes { get; } = Positive(AfterBytes + 1, nameof(AfterBytes)) - 1;

    private protected override string Words => $"body cut after {AfterBytes} B";
}

/// <summary>Requests are processed by the target; the client gets a reset instead of the reply.</summary>
public sealed record DropReplyFault : Fault
{
    private protected override string Words => "reply dropped";
}

/// <summary>New connections are refused, open ones are reset.</summary>
public sealed record RefuseFault : Fault
{
    private protected override string Words => "connection refused";
}

/// <summary>Alternates: no fault for <paramref name="Up"/>, then connections are refused for <paramref name="Down"/>.</summary>
public sealed record FlapFault(TimeSpan Up, TimeSpan Down) : Fault
{
    /// <summary>How long there is no fault each time.</summary>
    public TimeSpan Up { get; } = Positive(Up, nameof(Up));

    /// <summary>How long connections are refused each time.</summary>
    public TimeSpan Down { get; } = Positive(Down, nameof(Down));

    private protected override string Words => $"flapping, {Text(Up)} up and {Text(Down)} down";
}
