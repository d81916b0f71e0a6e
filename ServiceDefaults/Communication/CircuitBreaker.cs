namespace Platform.ServiceDefaults.Communication;

/// <summary>The states of a <see cref="CircuitBreaker"/>; the numbers are those of the metric <c>platform.communication.breaker.state</c>.</summary>
public enum CircuitState
{
    /// <summary>Calls pass and are counted.</summary>
    Closed = 0,

    /// <summary>Calls are refused without being sent. After the break duration the state stays open until the next call, which is let through as the trial.</summary>
    Open = 1,

    /// <summary>One trial call passes; others are refused until it ends.</summary>
    HalfOpen = 2,
}

/// <summary>A consistent snapshot of a breaker's state and counts.</summary>
/// <param name="State">The state.</param>
/// <param name="Since">When this state was entered, UTC.</param>
/// <param name="Counts">Call counts since the process started, and the current runs of successes and failures.</param>
/// <param name="FailureRatio">Share of failed calls in the sampling window, 0 to 1; 0 if there were no calls.</param>
/// <param name="LastError">The error of the last failed call or the reason of the last <see cref="CircuitBreaker.Trip"/>; null if there was none.</param>
/// <param name="LastErrorAt">When that happened, UTC.</param>
public sealed record CircuitSnapshot(
    CircuitState State, DateTimeOffset Since, CircuitCounts Counts, double FailureRatio, string? LastError, DateTimeOffset? LastErrorAt);

/// <summary>Call counts since the process started, and the current runs of successes and failures.</summary>
/// <param name="Requests">Calls let through. Exceeds successes plus failures by the calls in flight and those without a verdict.</param>
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
/// Refuses calls to a failing destination until it recovers. Opens on <see cref="Trip"/>, or when a failed call meets one of three conditions:
/// <list type="bullet">
/// <item>the failure ratio of the sampling window reaches <see cref="CircuitBreakerOptions.FailureRatio"/> with at least <see cref="CircuitBreakerOptions.MinimumThroughput"/> calls;</item>
/// <item><see cref="CircuitBreakerOptions.MinimumThroughput"/> calls in a row fail within the sampling window;</item>
/// <item><see cref="CircuitBreakerOptions.ConnectFailures"/> connection attempts in a row fail, which reveals an unreachable destination long before the window has enough calls.</item>
/// </list>
/// Becomes half-open when the recovery probe succeeds, or at the first call after the break duration. One trial call then closes or reopens it.
/// </summary>
/// <remarks>
/// Implements the circuit breaker of Nygard's "Release It!" with a sliding window of ten slices. There is one instance per destination, not per Polly pipeline, so that its
/// state survives configuration reloads and can be read at any time. Options are read at each decision, so a reload takes effect at once and keeps the state; only a
/// changed sampling duration empties the window.
/// </remarks>
public sealed class CircuitBreaker(Func<CircuitBreakerOptions> options, TimeProvider time)
{
    private const int Slices = 10;

    private readonly Lock _gate = new();
    private readonly (long Slice, int Successes, int Failures)[] _window = new (long, int, int)[Slices];
    private Action<CircuitTransition>? _changed;
    private volatile CircuitState _state;
    private DateTimeOffset _since = time.GetUtcNow();
    private long _openedAt;
    private int _generation;
    private bool _trialUnderway;
    private int _connectFailures;
    private int _failuresSinceSuccess;
    private long _evaluatedSlice = -1;
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

    /// <summary>The current state.</summary>
    public CircuitState State => _state;

    /// <summary>Interval of the recovery probe while the breaker is open, which caps the Retry-After of refused calls. <see cref="TimeSpan.MaxValue"/> without a probe.</summary>
    internal TimeSpan ProbeInterval { get; set; } = TimeSpan.MaxValue;

    /// <summary>Asks whether a call may be made. If so, report its result by exactly one method of <paramref name="pass"/>.</summary>
    /// <param name="pass">The permission to make the call. A result reported after a change of state is added to the totals but doesn't affect the new state.</param>
    /// <param name="retryAfter">When refused: the probe interval or the rest of the break, whichever is shorter; 1 s while half-open.</param>
    public bool TryPass(out CircuitPass pass, out TimeSpan retryAfter)
    {
        CircuitTransition? change = null;
        try
        {
            lock (_gate)
            {
                retryAfter = default;
                var policy = options();
                if (policy.Enabled && _state == CircuitState.Open)
                {
                    var left = policy.BreakDuration - time.GetElapsedTime(_openedAt);
                    if (left > TimeSpan.Zero)
                    {
                        return Refuse(left < ProbeInterval ? left : ProbeInterval, out pass, out retryAfter);
                    }

                    change = Move(CircuitState.HalfOpen, "the break is over");
                }

                if (policy.Enabled && _state == CircuitState.HalfOpen)
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

    /// <summary>Opens at once, regardless of the counts. For callers that know that the destination is unavailable, for example from a failed probe.</summary>
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

    /// <summary>The recovery probe succeeded: become half-open now instead of at the end of the break.</summary>
    public void ProbeSucceeded()
    {
        CircuitTransition? change = null;
        lock (_gate)
        {
            if (_state == CircuitState.Open)
            {
                change = Move(CircuitState.HalfOpen, "the recovery probe succeeded");
            }
        }

        Raise(change);
    }

    /// <summary>Takes a consistent snapshot of state and counts.</summary>
    public CircuitSnapshot Snapshot()
    {
        lock (_gate)
        {
            var (successes, failures) = Window();
            return new(
                _state, _since, new(_requests, _successes, _failures, _rejected, _successesInARow, _failuresInARow),
                failures == 0 ? 0 : (double)failures / (successes + failures), _lastError, _lastErrorAt);
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

    internal void Inconclusive(int generation)
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

        // Evaluate the ratio at the first failure of each slice, and skip the slice of the first failure after a change of state. If it were checked at every call, random
        // variation would sooner or later push a destination that fails 40 % of its calls over a threshold of 50 %.
        var now = SliceNow();
        if (_evaluatedSlice == now)
        {
            return null;
        }

        var first = _evaluatedSlice < 0;
        _evaluatedSlice = now;
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
        (_connectFailures, _failuresSinceSuccess, _evaluatedSlice) = (0, 0, -1);
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

/// <summary>The permission to make one call. Call exactly one of its methods, once, when the call has ended.</summary>
public readonly struct CircuitPass(CircuitBreaker breaker, int generation)
{
    /// <summary>The call succeeded.</summary>
    public void Succeeded() => breaker.Succeeded(generation);

    /// <summary>The call failed.</summary>
    /// <param name="error">What went wrong, in one human-readable line.</param>
    /// <param name="neverConnected">No connection was established: refused, reset or timed out while connecting.</param>
    public void Failed(string error, bool neverConnected = false) => breaker.Failed(generation, error, neverConnected);

    /// <summary>The result says nothing about the destination's health: the caller cancelled, its deadline passed, or the response was 429 or 503 with Retry-After. Lets another trial start.</summary>
    public void Inconclusive() => breaker.Inconclusive(generation);
}
