namespace Platform.ServiceDefaults.Communication;

/// <summary>The states of a <see cref="CircuitBreaker"/>; the numbers are those of the metric <c>platform.communication.breaker.state</c>.</summary>
public enum CircuitState
{
    /// <summary>Calls pass and are counted.</summary>
    Closed = 0,

    /// <summary>Calls are refused at once.</summary>
    Open = 1,

    /// <summary>One trial call passes; the others are refused until it is answered.</summary>
    HalfOpen = 2,
}

/// <summary>What a breaker has counted, and where it stands; a consistent snapshot.</summary>
/// <param name="State">Where the breaker stands.</param>
/// <param name="Since">When it came to stand there, UTC.</param>
/// <param name="Counts">Totals since the process started.</param>
/// <param name="FailureRatio">Failures over calls in the sampling window, 0 to 1; 0 when there were none.</param>
/// <param name="LastError">The last failure counted, or null when there was none.</param>
/// <param name="LastErrorAt">When it was counted, UTC.</param>
public sealed record CircuitSnapshot(
    CircuitState State, DateTimeOffset Since, CircuitCounts Counts, double FailureRatio, string? LastError, DateTimeOffset? LastErrorAt);

/// <summary>Totals of a breaker since the process started.</summary>
/// <param name="Requests">Calls that were let through.</param>
/// <param name="TotalSuccesses">Calls that succeeded.</param>
/// <param name="TotalFailures">Calls that failed.</param>
/// <param name="Rejected">Calls that were refused without being sent.</param>
/// <param name="ConsecutiveSuccesses">Successes since the last failure.</param>
/// <param name="ConsecutiveFailures">Failures since the last success.</param>
public sealed record CircuitCounts(
    long Requests, long TotalSuccesses, long TotalFailures, long Rejected, long ConsecutiveSuccesses, long ConsecutiveFailures);

/// <summary>A change of state, as handed to <see cref="CircuitBreaker.Subscribe"/>.</summary>
public readonly record struct CircuitTransition(CircuitState From, CircuitState To, string Reason);

/// <summary>
/// Refuses calls to a destination that fails, until it answers again. Opens when the failure ratio of the sampling window
/// reaches <see cref="CircuitBreakerOptions.FailureRatio"/> at <see cref="CircuitBreakerOptions.MinimumThroughput"/> calls or more, when that many calls
/// in a row failed, or when <see cref="CircuitBreakerOptions.ConnectFailures"/> connection attempts in a row did: a destination that is gone is known long before
/// the ratio has its sample. The ratio is judged once in a tenth of the window: judged at each call it would sooner or later cross the threshold by
/// chance, and cut off a destination that fails four calls in ten. Half-opens when the recovery probe was answered or the break is over; one trial decides.
/// </summary>
/// <remarks>
/// The state machine is the one of Nygard's "Release It!", with a sliding window of one-tenth slices. It belongs to a destination, not to a pipeline, so that
/// it outlives configuration reloads and can be read at any time. Options are read at each decision: a reload takes effect at once and resets nothing.
/// </remarks>
public sealed class CircuitBreaker(Func<CircuitBreakerOptions> options, TimeProvider time)
{
    private const int Slices = 10;

    private readonly Lock _gate = new();
    private readonly (long Slice, int Successes, int Failures)[] _window = new (long, int, int)[Slices];
    private Action<CircuitTransition>? _changed;
    private CircuitState _state;
    private DateTimeOffset _since = time.GetUtcNow();
    private long _openedAt;
    private int _generation;
    private bool _trialUnderway;
    private int _connectFailures;
    private int _failuresSinceSuccess;
    private long _judgedSlice = -1;
    private long _requests, _successes, _failures, _rejected, _successesInARow, _failuresInARow;
    private string? _lastError;
    private DateTimeOffset? _lastErrorAt;

    /// <summary>Calls <paramref name="onChange"/> after each change of state, outside the lock, on the thread that caused it.</summary>
    public void Subscribe(Action<CircuitTransition> onChange)
    {
        lock (_gate)
        {
            _changed += onChange;
        }
    }

    /// <summary>Where the breaker stands now.</summary>
    public CircuitState State
    {
        get
        {
            lock (_gate)
            {
                return _state;
            }
        }
    }

    /// <summary>How often a recovery probe asks while the breaker is open: nobody who is refused has to wait longer. Endless when nothing probes.</summary>
    internal TimeSpan ProbeInterval { get; set; } = TimeSpan.MaxValue;

    /// <summary>Asks to make a call. When it may be made, exactly one of the members of <paramref name="pass"/> must be called with its end.</summary>
    /// <param name="pass">The permission; its end belongs to the state in which it was given.</param>
    /// <param name="retryAfter">When refused: until the recovery probe has asked again or the break is over, whichever is sooner.</param>
    public bool TryPass(out CircuitPass pass, out TimeSpan retryAfter)
    {
        CircuitTransition? change = null;
        try
        {
            lock (_gate)
            {
                retryAfter = default;
                var policy = options();
                if (!policy.Enabled)
                {
                    _requests++;
                    pass = new CircuitPass(this, _generation);
                    return true;
                }

                if (_state == CircuitState.Open)
                {
                    var left = policy.BreakDuration - time.GetElapsedTime(_openedAt);
                    if (left > TimeSpan.Zero)
                    {
                        return Refuse(left < ProbeInterval ? left : ProbeInterval, out pass, out retryAfter);
                    }

                    change = Move(CircuitState.HalfOpen, "the break is over");
                }

                if (_state == CircuitState.HalfOpen)
                {
                    if (_trialUnderway)
                    {
                        return Refuse(TimeSpan.FromSeconds(1), out pass, out retryAfter);
                    }

                    _trialUnderway = true;
                }

                _requests++;
                pass = new CircuitPass(this, _generation);
                return true;
            }
        }
        finally
        {
            Raise(change);
        }
    }

    /// <summary>Opens at once, whatever the counts say: something surer than calls has shown that the destination does not answer.</summary>
    public void Trip(string reason)
    {
        CircuitTransition? change = null;
        lock (_gate)
        {
            if (_state != CircuitState.Open && options().Enabled)
            {
                (_lastError, _lastErrorAt) = (reason, time.GetUtcNow());
                change = Move(CircuitState.Open, reason);
            }
        }

        Raise(change);
    }

    /// <summary>The recovery probe got an answer: the next call is the trial, without waiting for the end of the break.</summary>
    public void ProbeAnswered()
    {
        CircuitTransition? change = null;
        lock (_gate)
        {
            if (_state == CircuitState.Open)
            {
                change = Move(CircuitState.HalfOpen, "the recovery probe was answered");
            }
        }

        Raise(change);
    }

    /// <summary>A consistent copy of state and counts.</summary>
    public CircuitSnapshot Snapshot()
    {
        lock (_gate)
        {
            var (successes, failures) = Window();
            return new(
                _state,
                _since,
                new(_requests, _successes, _failures, _rejected, _successesInARow, _failuresInARow),
                failures == 0 ? 0 : (double)failures / (successes + failures),
                _lastError,
                _lastErrorAt);
        }
    }

    internal void Succeeded(int generation)
    {
        CircuitTransition? change = null;
        lock (_gate)
        {
            _successes++;
            _successesInARow++;
            _failuresInARow = 0;
            if (generation != _generation)
            {
                return;
            }

            (_connectFailures, _failuresSinceSuccess) = (0, 0);
            if (_state == CircuitState.HalfOpen)
            {
                change = Move(CircuitState.Closed, "the trial succeeded");
            }
            else
            {
                Slice().Successes++;
            }
        }

        Raise(change);
    }

    internal void Failed(int generation, string error, bool neverConnected)
    {
        CircuitTransition? change = null;
        lock (_gate)
        {
            _failures++;
            _failuresInARow++;
            _successesInARow = 0;
            _lastError = error;
            _lastErrorAt = time.GetUtcNow();
            if (generation != _generation)
            {
                return;
            }

            if (_state == CircuitState.HalfOpen)
            {
                change = Move(CircuitState.Open, $"the trial failed: {error}");
            }
            else
            {
                Slice().Failures++;
                _failuresSinceSuccess++;
                _connectFailures = neverConnected ? _connectFailures + 1 : 0;
                change = ReasonToOpen() is { } reason ? Move(CircuitState.Open, reason) : null;
            }
        }

        Raise(change);
    }

    internal void Left(int generation)
    {
        lock (_gate)
        {
            if (generation == _generation)
            {
                _trialUnderway = false;
            }
        }
    }

    private bool Refuse(TimeSpan left, out CircuitPass pass, out TimeSpan retryAfter)
    {
        _rejected++;
        pass = default;
        retryAfter = left;
        return false;
    }

    private string? ReasonToOpen()
    {
        var policy = options();
        if (!policy.Enabled)
        {
            return null;
        }

        if (_connectFailures >= policy.ConnectFailures)
        {
            return $"{_connectFailures} connection attempts in a row failed";
        }

        var (successes, failures) = Window();
        if (_failuresSinceSuccess >= policy.MinimumThroughput && failures >= policy.MinimumThroughput)
        {
            return $"{_failuresSinceSuccess} calls in a row failed";
        }

        var now = SliceNow();
        if (_judgedSlice == now)
        {
            return null;
        }

        var first = _judgedSlice < 0;
        _judgedSlice = now;
        var calls = successes + failures;
        return !first && calls >= policy.MinimumThroughput && failures >= policy.FailureRatio * calls
            ? $"{failures} of {calls} calls failed in {policy.SamplingDuration.TotalSeconds:0.#} s"
            : null;
    }

    private CircuitTransition Move(CircuitState to, string reason)
    {
        var change = new CircuitTransition(_state, to, reason);
        _state = to;
        _since = time.GetUtcNow();
        _generation++;
        _trialUnderway = false;
        (_connectFailures, _failuresSinceSuccess, _judgedSlice) = (0, 0, -1);
        if (to == CircuitState.Open)
        {
            _openedAt = time.GetTimestamp();
        }
        else if (to == CircuitState.Closed)
        {
            Array.Clear(_window);
        }

        return change;
    }

    private long SliceNow() => (long)(time.GetElapsedTime(0).TotalMilliseconds * Slices / options().SamplingDuration.TotalMilliseconds);

    private ref (long Slice, int Successes, int Failures) Slice()
    {
        var now = SliceNow();
        ref var slot = ref _window[now % Slices];
        if (slot.Slice != now)
        {
            slot = (now, 0, 0);
        }

        return ref slot;
    }

    private (int Successes, int Failures) Window()
    {
        var now = SliceNow();
        var (successes, failures) = (0, 0);
        foreach (var slot in _window)
        {
            if (slot.Slice > now - Slices && slot.Slice <= now)
            {
                successes += slot.Successes;
                failures += slot.Failures;
            }
        }

        return (successes, failures);
    }

    private void Raise(CircuitTransition? change)
    {
        if (change is { } happened)
        {
            _changed?.Invoke(happened);
        }
    }
}

/// <summary>The permission to make one call. One of its members is called with the call's end, once.</summary>
public readonly struct CircuitPass(CircuitBreaker breaker, int generation)
{
    /// <summary>The destination answered as it should.</summary>
    public void Succeeded() => breaker.Succeeded(generation);

    /// <summary>The destination failed.</summary>
    /// <param name="error">What went wrong, in one line, for people.</param>
    /// <param name="neverConnected">No connection came about: refused, reset or timed out before it stood.</param>
    public void Failed(string error, bool neverConnected = false) => breaker.Failed(generation, error, neverConnected);

    /// <summary>The end says nothing about the destination: the caller gave up, or the answer was a refusal for other reasons.</summary>
    public void Left() => breaker.Left(generation);
}
