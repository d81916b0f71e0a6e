using Microsoft.Extensions.Time.Testing;

namespace Platform.TestSupport;

/// <summary>A <see cref="FakeTimeProvider"/> on which a test can wait until the code under test has started a delay or a time-out, instead of polling for it.</summary>
public sealed class ObservableTimeProvider : FakeTimeProvider
{
    // Only ends a test that would hang.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly Lock _lock = new();
    private readonly List<TimeSpan> _unseen = [];
    private readonly List<(TimeSpan AtLeast, TimeSpan AtMost, TaskCompletionSource<TimeSpan> Started)> _waiters = [];
    private int _activeTimers;

    /// <summary>Starts at 2000-01-01, as the library does.</summary>
    public ObservableTimeProvider()
    {
    }

    /// <summary>Starts at <paramref name="start"/>.</summary>
    public ObservableTimeProvider(DateTimeOffset start) : base(start)
    {
    }

    /// <summary>The number of timers that were created and not yet disposed.</summary>
    public int ActiveTimers => Volatile.Read(ref _activeTimers);

    /// <summary>Completes when a timer with this due time has been created. Each timer completes one such wait, including timers created before it.</summary>
    public Task<TimeSpan> TimerAsync(TimeSpan dueTime) => TimerAsync(dueTime, dueTime);

    /// <summary>Completes with the due time when a timer due within this range has been created. Each timer completes one such wait, including timers created before it.</summary>
    public Task<TimeSpan> TimerAsync(TimeSpan atLeast, TimeSpan atMost)
    {
        lock (_lock)
        {
            var index = _unseen.FindIndex(due => due >= atLeast && due <= atMost);
            if (index >= 0)
            {
                var due = _unseen[index];
                _unseen.RemoveAt(index);
                return Task.FromResult(due);
            }

            var started = new TaskCompletionSource<TimeSpan>(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((atLeast, atMost, started));
            return started.Task.WaitAsync(Limit);
        }
    }

    /// <inheritdoc />
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new CountedTimer(base.CreateTimer(callback, state, dueTime, period), this);
        lock (_lock)
        {
            var index = _waiters.FindIndex(waiter => dueTime >= waiter.AtLeast && dueTime <= waiter.AtMost);
            if (index < 0)
            {
                _unseen.Add(dueTime);
            }
            else
            {
                _waiters[index].Started.SetResult(dueTime);
                _waiters.RemoveAt(index);
            }
        }

        return timer;
    }

    private sealed class CountedTimer : ITimer
    {
        private readonly ITimer _timer;
        private readonly ObservableTimeProvider _owner;
        private bool _disposed;

        public CountedTimer(ITimer timer, ObservableTimeProvider owner)
        {
            (_timer, _owner) = (timer, owner);
            Interlocked.Increment(ref owner._activeTimers);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period) => _timer.Change(dueTime, period);

        public void Dispose()
        {
            if (!Interlocked.Exchange(ref _disposed, true))
            {
                Interlocked.Decrement(ref _owner._activeTimers);
                _timer.Dispose();
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
