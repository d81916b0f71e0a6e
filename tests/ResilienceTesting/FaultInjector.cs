using System.Collections.Immutable;

namespace Platform.ResilienceTesting;

/// <summary>
/// Decides what goes wrong on the connections of one or more proxies. Each call puts a fault in force until its scope is disposed of.
/// Scopes nest and add up: latency within a bandwidth limit gives both. All members may be used from any thread.
/// </summary>
/// <param name="seed">Decides all that is random: which connections a fault strikes, and jitter. The same seed gives the same again.</param>
/// <param name="time">The clock for latency, pauses, bandwidth and flapping; the system's unless given.</param>
public class FaultInjector(int seed = FaultInjector.DefaultSeed, TimeProvider? time = null)
{
    /// <summary>The seed unless another is given: a failure can be repeated without having been prepared for.</summary>
    public const int DefaultSeed = 1;

    private readonly Lock _lock = new();
    private ImmutableArray<ActiveFault> _active = [];
    private ImmutableArray<TcpFaultProxy> _proxies = [];
    private int _faults;
    private int _connections;

    /// <summary>Decides all that is random. A change holds for faults and connections that begin later.</summary>
    public int Seed { get; set; } = seed;

    /// <summary>The faults in force, outermost first.</summary>
    public IReadOnlyList<Fault> Current => [.. _active.Select(active => active.Fault)];

    /// <summary>The proxies whose connections it governs.</summary>
    public IReadOnlyList<TcpFaultProxy> Proxies => _proxies;

    /// <summary>What is in force, where, and what it has done so far: one line for the message of a failed assertion.</summary>
    public virtual string Description
    {
        get
        {
            var active = _active;
            var faults = active.IsEmpty ? "no fault" : string.Join(" + ", active);
            var proxies = _proxies;
            return $"{faults}; seed {Seed}; " + (proxies.IsEmpty ? "no connection goes this way yet" : string.Join("; ", proxies));
        }
    }

    internal TimeProvider Time { get; } = time ?? TimeProvider.System;

    internal ImmutableArray<ActiveFault> Active => _active;

    /// <summary>Whether nobody is to listen now.</summary>
    internal bool Refuses => _active.Any(active => active.Refuses);

    /// <summary>Replies come later by <paramref name="delay"/> ± <paramref name="jitter"/> (none unless given).</summary>
    /// <exception cref="ArgumentOutOfRangeException">A time is negative, or the probability not between 0 and 1.</exception>
    public FaultScope Latency(TimeSpan delay, TimeSpan jitter = default, double probability = 1) => Start(new LatencyFault(delay, jitter) { Probability = probability });

    /// <summary>Connections are reset (RST): those that are there at once, others when a byte passes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is not between 0 and 1.</exception>
    public FaultScope Reset(double probability = 1) => Start(new ResetFault { Probability = probability });

    /// <summary>Connections are accepted and nothing ever comes through. When it ends, connections that lost bytes are reset.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is not between 0 and 1.</exception>
    public FaultScope BlackHole(double probability = 1) => Start(new BlackHoleFault { Probability = probability });

    /// <summary>Bytes go on at most <paramref name="maxBytes"/> at a time, after a <paramref name="pause"/> (none unless given).</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxBytes"/> is below 1, the pause negative, or the probability not between 0 and 1.</exception>
    public FaultScope Slice(int maxBytes, TimeSpan pause = default, double probability = 1) => Start(new SliceFault(maxBytes, pause) { Probability = probability });

    /// <summary>The client gets the end of the stream (FIN) instead of replies; what it sends still reaches the target.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is not between 0 and 1.</exception>
    public FaultScope HalfClose(double probability = 1) => Start(new HalfCloseFault { Probability = probability });

    /// <summary>Each direction of each connection carries at most <paramref name="bytesPerSecond"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytesPerSecond"/> is below 1, or the probability not between 0 and 1.</exception>
    public FaultScope Bandwidth(long bytesPerSecond, double probability = 1) => Start(new BandwidthFault(bytesPerSecond) { Probability = probability });

    /// <summary>The connection ends after <paramref name="afterBytes"/> of a reply's body (HTTP/1), or of a reply (anything else).</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="afterBytes"/> is negative, or the probability not between 0 and 1.</exception>
    public FaultScope CutBody(long afterBytes, double probability = 1) => Start(new CutBodyFault(afterBytes) { Probability = probability });

    /// <summary>Requests are served; instead of the reply the client gets a reset.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is not between 0 and 1.</exception>
    public FaultScope DropReply(double probability = 1) => Start(new DropReplyFault { Probability = probability });

    /// <summary>Connections are refused, and those that are there are reset. The port is kept.</summary>
    public FaultScope Refuse() => Start(new RefuseFault());

    /// <summary>By turns all is well for <paramref name="up"/>, which comes first, and <see cref="Refuse"/> for <paramref name="down"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A time is not positive.</exception>
    public FaultScope Flap(TimeSpan up, TimeSpan down) => Start(new FlapFault(up, down));

    /// <summary>Puts the fault in force; when this returns it is.</summary>
    public FaultScope Start(Fault fault)
    {
        ArgumentNullException.ThrowIfNull(fault);
        ActiveFault started;
        lock (_lock)
        {
            started = new ActiveFault(fault, Seed, _faults++);
            _active = _active.Add(started);
        }

        Changed(started);
        if (fault is FlapFault flap)
            started.Flap(flap, Time, () => Changed(started));
        OnStarted(fault);
        return new FaultScope(this, started);
    }

    /// <inheritdoc />
    public override string ToString() => Description;

    internal void End(ActiveFault ended)
    {
        lock (_lock)
        {
            if (!_active.Contains(ended))
                return;
            _active = _active.Remove(ended);
        }

        ended.Dispose();
        foreach (var proxy in _proxies)
            proxy.FaultEnded(ended);
        OnEnded(ended.Fault);
    }

    internal void Attach(TcpFaultProxy proxy)
    {
        lock (_lock)
            _proxies = _proxies.Add(proxy);
    }

    internal void Detach(TcpFaultProxy proxy)
    {
        lock (_lock)
            _proxies = _proxies.Remove(proxy);
    }

    /// <summary>Numbers the connections of all proxies, from 0.</summary>
    internal int NextConnection() => Interlocked.Increment(ref _connections) - 1;

    private protected virtual void OnStarted(Fault fault)
    {
    }

    private protected virtual void OnEnded(Fault fault)
    {
    }

    private void Changed(ActiveFault started)
    {
        foreach (var proxy in _proxies)
            proxy.FaultChanged(started);
    }
}

/// <summary>A fault in force. Disposing of it restores what was before; doing so again changes nothing.</summary>
public sealed class FaultScope : IDisposable
{
    private readonly FaultInjector _injector;
    private readonly ActiveFault _active;

    internal FaultScope(FaultInjector injector, ActiveFault active) => (_injector, _active) = (injector, active);

    /// <summary>What is in force.</summary>
    public Fault Fault => _active.Fault;

    /// <summary>The number of connections that it has struck; a refused one was never there and does not count.</summary>
    public int Struck => _active.Struck;

    /// <summary>Does something under the fault and ends it then. A failure says what was in force, and where.</summary>
    /// <exception cref="FaultedException">The action failed; the inner exception says how.</exception>
    public async Task DuringAsync(Func<Task> action)
    {
        ArgumentNullException.ThrowIfNull(action);
        using (this)
        {
            try
            {
                await action();
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                throw new FaultedException($"{exception.Message}{Environment.NewLine}Under {_injector.Description}", exception);
            }
        }
    }

    /// <inheritdoc />
    public void Dispose() => _injector.End(_active);

    /// <inheritdoc />
    public override string ToString() => _injector.Description;
}

/// <summary>Something failed under a fault; the message says under which.</summary>
public sealed class FaultedException(string message, Exception inner) : Exception(message, inner);

/// <summary>A fault from the start of its scope to the end.</summary>
internal sealed class ActiveFault : IDisposable
{
    private readonly int _seed;
    private readonly int _ordinal;
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _ended = new();
    private ITimer? _timer;
    private volatile bool _down;
    private bool _over;
    private int _struck;

    public ActiveFault(Fault fault, int seed, int ordinal) => (Fault, _seed, _ordinal, Ended) = (fault, seed, ordinal, _ended.Token);

    public Fault Fault { get; }

    public int Struck => _struck;

    /// <summary>Cancelled when the scope ends.</summary>
    public CancellationToken Ended { get; }

    public bool Refuses => Fault is RefuseFault || _down;

    /// <summary>Whether the fault is meant for the n-th connection: not a matter of time or of threads.</summary>
    public bool Strikes(int connection) => Fault.Probability >= 1 || Seeds.Uniform(_seed, connection, _ordinal) < Fault.Probability;

    public void CountStrike() => Interlocked.Increment(ref _struck);

    /// <summary>Goes up and down on the clock's own thread, so that whoever moves a fake clock finds it done.</summary>
    public void Flap(FlapFault flap, TimeProvider time, Action changed)
    {
        lock (_lock)
        {
            _timer = time.CreateTimer(_ =>
            {
                lock (_lock)
                {
                    if (_over)
                        return;
                    _down = !_down;
                    _timer!.Change(_down ? flap.Down : flap.Up, Timeout.InfiniteTimeSpan);
                }

                changed();
            }, state: null, flap.Up, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Ends it; what waits for that goes on, though not on this thread and under the locks of who calls.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_over)
                return;
            _over = true;
            _down = false;
            _timer?.Dispose();
        }

        _ = EndAsync();

        async Task EndAsync()
        {
            await _ended.CancelAsync();
            _ended.Dispose();
        }
    }

    public override string ToString() => Fault is FlapFault ? $"{Fault} ({(_down ? "down" : "up")} now)" : Fault.ToString();
}

/// <summary>Random numbers that follow from a seed and two positions, alike on every machine and in any order.</summary>
internal static class Seeds
{
    public static double Uniform(int seed, int first, int second) => (Mix(seed, first, second) >> 11) * (1.0 / (1UL << 53));

    public static Random Generator(int seed, int first, int second) => new((int)(Mix(seed, first, second) >> 33));

    // SplitMix64: neighbouring seeds and positions give unrelated numbers, which those of System.Random don't
    private static ulong Mix(int seed, int first, int second)
    {
        var state = Step((uint)seed);
        state = Step(state ^ (uint)first);
        return Step(state ^ (uint)second);

        static ulong Step(ulong z)
        {
            z += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }
}
