using System.Collections.Immutable;

namespace Platform.ResilienceTesting;

/// <summary>
/// Injects faults into the connections of one or more proxies. Each call puts a fault in force until its scope is disposed. Scopes can be nested and are
/// cumulative: latency within a bandwidth limit gives both. Thread-safe.
/// </summary>
/// <param name="seed">Seed of everything random: which connections are affected, and jitter. The same seed gives the same results.</param>
/// <param name="time">The clock for latency, pauses, bandwidth and flapping; the system's by default.</param>
public class FaultInjector(int seed = FaultInjector.DefaultSeed, TimeProvider? time = null)
{
    /// <summary>The default seed. It is constant so that failures are reproducible.</summary>
    public const int DefaultSeed = 1;

    private readonly Lock _lock = new();
    private ImmutableArray<ActiveFault> _active = [];
    private ImmutableArray<TcpFaultProxy> _proxies = [];
    private int _faults;
    private int _connections;

    /// <summary>Seed of everything random. Changes affect only faults and connections that begin later.</summary>
    public int Seed { get; set; } = seed;

    /// <summary>The faults in force, outermost first.</summary>
    public IReadOnlyList<Fault> Current => [.. _active.Select(active => active.Fault)];

    /// <summary>The proxies that use this injector.</summary>
    public IReadOnlyList<TcpFaultProxy> Proxies => _proxies;

    /// <summary>The faults in force, the proxies and their counters in one line, for messages of failed assertions.</summary>
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

    /// <summary>Whether connections are to be refused now.</summary>
    internal bool Refuses => _active.Any(active => active.Refuses);

    /// <summary>Delays replies by <paramref name="delay"/> ± <paramref name="jitter"/> (none by default).</summary>
    /// <exception cref="ArgumentOutOfRangeException">A time is negative, or the probability not between 0 and 1.</exception>
    public FaultScope Latency(TimeSpan delay, TimeSpan jitter = default, double probability = 1) => Start(new LatencyFault(delay, jitter) { Probability = probability });

    /// <summary>Resets connections (RST): open ones immediately, new ones at their first byte.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is not between 0 and 1.</exception>
    public FaultScope Reset(double probability = 1) => Start(new ResetFault { Probability = probability });

    /// <summary>Accepts connections and discards all bytes. When the fault ends, connections that lost bytes are reset.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is not between 0 and 1.</exception>
    public FaultScope BlackHole(double probability = 1) => Start(new BlackHoleFault { Probability = probability });

    /// <summary>Forwards at most <paramref name="maxBytes"/> at a time, after a <paramref name="pause"/> (none by default).</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxBytes"/> is below 1, the pause negative, or the probability not between 0 and 1.</exception>
    public FaultScope Slice(int maxBytes, TimeSpan pause = default, double probability = 1) => Start(new SliceFault(maxBytes, pause) { Probability = probability });

    /// <summary>Sends the client the end of the stream (FIN) instead of replies; its requests still reach the target.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is not between 0 and 1.</exception>
    public FaultScope HalfClose(double probability = 1) => Start(new HalfCloseFault { Probability = probability });

    /// <summary>Limits each direction of each connection to <paramref name="bytesPerSecond"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytesPerSecond"/> is below 1, or the probability not between 0 and 1.</exception>
    public FaultScope Bandwidth(long bytesPerSecond, double probability = 1) => Start(new BandwidthFault(bytesPerSecond) { Probability = probability });

    /// <summary>Ends the connection after <paramref name="afterBytes"/> of a reply's body (HTTP/1) or of the whole reply (other protocols).</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="afterBytes"/> is negative, or the probability not between 0 and 1.</exception>
    public FaultScope CutBody(long afterBytes, double probability = 1) => Start(new CutBodyFault(afterBytes) { Probability = probability });

    /// <summary>Lets the target process requests, and resets the client's connection instead of forwarding the reply.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is not between 0 and 1.</exception>
    public FaultScope DropReply(double probability = 1) => Start(new DropReplyFault { Probability = probability });

    /// <summary>Refuses new connections and resets open ones. The port stays reserved.</summary>
    public FaultScope Refuse() => Start(new RefuseFault());

    /// <summary>Alternates between no fault for <paramref name="up"/> and <see cref="Refuse"/> for <paramref name="down"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A time is not positive.</exception>
    public FaultScope Flap(TimeSpan up, TimeSpan down) => Start(new FlapFault(up, down));

    /// <summary>Puts the fault in force before it returns.</summary>
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

    /// <summary>The number of the next connection of all proxies, from 0.</summary>
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

/// <summary>A fault in force. Disposing the scope ends the fault; disposing it again has no effect.</summary>
public sealed class FaultScope : IDisposable
{
    private readonly FaultInjector _injector;
    private readonly ActiveFault _active;

    internal FaultScope(FaultInjector injector, ActiveFault active) => (_injector, _active) = (injector, active);

    /// <summary>The fault.</summary>
    public Fault Fault => _active.Fault;

    /// <summary>The number of connections affected so far, not counting refused ones.</summary>
    public int Struck => _active.Struck;

    /// <summary>Runs an action while the fault is in force, and then ends the fault. If the action fails, the message describes the fault.</summary>
    /// <exception cref="FaultedException">The action failed; see the inner exception.</exception>
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

/// <summary>An action failed while a fault was in force; the message describes the fault.</summary>
public sealed class FaultedException(string message, Exception inner) : Exception(message, inner);

/// <summary>The state of a fault in force.</summary>
internal sealed class ActiveFault : IDisposable
{
    private readonly int _seed;
    private readonly int _ordinal;
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _ended = new();
    private ITimer? _timer;
    private volatile bool _down;
    private bool _isEnded;
    private int _struck;

    public ActiveFault(Fault fault, int seed, int ordinal) => (Fault, _seed, _ordinal, Ended) = (fault, seed, ordinal, _ended.Token);

    public Fault Fault { get; }

    public int Struck => _struck;

    /// <summary>Cancelled when the scope ends.</summary>
    public CancellationToken Ended { get; }

    public bool Refuses => Fault is RefuseFault || _down;

    /// <summary>Whether the fault affects the n-th connection. Deterministic: depends only on the seed.</summary>
    public bool Strikes(int connection) => Fault.Probability >= 1 || Seeds.Uniform(_seed, connection, _ordinal) < Fault.Probability;

    public void CountStrike() => Interlocked.Increment(ref _struck);

    /// <summary>Alternates in the clock's timer callback, so that advancing a fake clock has taken effect when it returns.</summary>
    public void Flap(FlapFault flap, TimeProvider time, Action changed)
    {
        lock (_lock)
        {
            _timer = time.CreateTimer(_ =>
            {
                lock (_lock)
                {
                    if (_isEnded)
                        return;
                    _down = !_down;
                    _timer!.Change(_down ? flap.Down : flap.Up, Timeout.InfiniteTimeSpan);
                }

                changed();
            }, state: null, flap.Up, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Ends the fault. Waiters are resumed asynchronously, so that they don't run under the caller's locks.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_isEnded)
                return;
            _isEnded = true;
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

/// <summary>Deterministic random numbers from a seed and two positions.</summary>
internal static class Seeds
{
    public static double Uniform(int seed, int first, int second) => (Mix(seed, first, second) >> 11) * (1.0 / (1UL << 53));

    public static Random Generator(int seed, int first, int second) => new((int)(Mix(seed, first, second) >> 33));

    // SplitMix64: unlike System.Random, it gives unrelated numbers for neighbouring seeds and positions.
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
