using System.Globalization;

namespace Platform.ResilienceTesting;

/// <summary>What goes wrong with connections. It says what, not where or when: <see cref="FaultInjector.Start"/> puts it in force.</summary>
public abstract record Fault
{
    private readonly double _probability = 1;

    private protected Fault()
    {
    }

    /// <summary>
    /// The share of connections that it strikes, 0 to 1; all unless set. Whether it strikes the n-th connection follows from the seed alone.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not between 0 and 1.</exception>
    public double Probability
    {
        get => _probability;
        init
        {
            // written this way round so that NaN is refused too
            if (!(value >= 0 && value <= 1))
                throw new ArgumentOutOfRangeException(nameof(value), value, "A probability is between 0 and 1.");
            _probability = value;
        }
    }

    private protected abstract string Words { get; }

    /// <summary>The fault in words, as in <c>latency of 200 ms ± 50 ms on 30 % of the connections</c>.</summary>
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

/// <summary>Each piece of a reply comes later by <paramref name="Delay"/>, give or take <paramref name="Jitter"/>; requests are not delayed.</summary>
public sealed record LatencyFault(TimeSpan Delay, TimeSpan Jitter) : Fault
{
    /// <summary>How much later, on average.</summary>
    public TimeSpan Delay { get; } = NotNegative(Delay, nameof(Delay));

    /// <summary>By how much the delay differs at most, either way; evenly distributed.</summary>
    public TimeSpan Jitter { get; } = NotNegative(Jitter, nameof(Jitter));

    private protected override string Words => Jitter > TimeSpan.Zero ? $"latency of {Text(Delay)} ± {Text(Jitter)}" : $"latency of {Text(Delay)}";
}

/// <summary>Connections are accepted and reset (RST) as soon as a byte passes; those that are there are reset at once.</summary>
public sealed record ResetFault : Fault
{
    private protected override string Words => "reset";
}

/// <summary>Connections are accepted; whatever is sent, either way, is swallowed. A connection that lost bytes is reset when it ends.</summary>
public sealed record BlackHoleFault : Fault
{
    private protected override string Words => "black hole";
}

/// <summary>Bytes go on, either way, at most <paramref name="MaxBytes"/> at a time, with a pause before each piece.</summary>
public sealed record SliceFault(int MaxBytes, TimeSpan Pause) : Fault
{
    /// <summary>Bytes per piece, 1 or more.</summary>
    public int MaxBytes { get; } = (int)Positive(MaxBytes, nameof(MaxBytes));

    /// <summary>The pause before each piece; none when zero.</summary>
    public TimeSpan Pause { get; } = NotNegative(Pause, nameof(Pause));

    private protected override string Words => Pause > TimeSpan.Zero ? $"slices of {MaxBytes} B, {Text(Pause)} apart" : $"slices of {MaxBytes} B";
}

/// <summary>The client gets the end of the stream (FIN) and never a reply, while what it sends still reaches the target.</summary>
public sealed record HalfCloseFault : Fault
{
    private protected override string Words => "half-close";
}

/// <summary>Each direction of each connection carries at most <paramref name="BytesPerSecond"/>.</summary>
public sealed record BandwidthFault(long BytesPerSecond) : Fault
{
    /// <summary>Bytes per second, 1 or more.</summary>
    public long BytesPerSecond { get; } = Positive(BytesPerSecond, nameof(BytesPerSecond));

    private protected override string Words => $"bandwidth of {BytesPerSecond} B/s";
}

/// <summary>The connection ends (FIN) after that many bytes of a reply: of its body when it is HTTP/1, else of all of it.</summary>
public sealed record CutBodyFault(long AfterBytes) : Fault
{
    /// <summary>Bytes that still pass, 0 or more.</summary>
    public long AfterBytes { get; } = Positive(AfterBytes + 1, nameof(AfterBytes)) - 1;

    private protected override string Words => $"body cut after {AfterBytes} B";
}

/// <summary>Requests reach the target and are served; instead of the reply the client gets a reset.</summary>
public sealed record DropReplyFault : Fault
{
    private protected override string Words => "reply dropped";
}

/// <summary>Nobody listens: connections are refused, and those that are there are reset.</summary>
public sealed record RefuseFault : Fault
{
    private protected override string Words => "connection refused";
}

/// <summary>By turns all is well for <paramref name="Up"/>, which comes first, and connections are refused for <paramref name="Down"/>.</summary>
public sealed record FlapFault(TimeSpan Up, TimeSpan Down) : Fault
{
    /// <summary>How long all is well each time.</summary>
    public TimeSpan Up { get; } = Positive(Up, nameof(Up));

    /// <summary>How long connections are refused each time.</summary>
    public TimeSpan Down { get; } = Positive(Down, nameof(Down));

    private protected override string Words => $"flapping, {Text(Up)} up and {Text(Down)} down";
}
