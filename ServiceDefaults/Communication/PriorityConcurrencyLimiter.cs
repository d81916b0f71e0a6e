namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// A concurrency limiter with priorities. Deployments may use all permits, other writes 90 % and reads 80 %, so that under overload capacity is left for what matters
/// more (trunk reservation in telephony; criticality in chapter 21 of Google's SRE book). Without a free permit a request waits in a bounded queue. A released permit goes to
/// the highest priority, and to the longest waiting within it. When the queue is full, a request takes the place of the newest one of a lower priority, or is rejected.
/// <see cref="System.Threading.RateLimiting.ConcurrencyLimiter"/> has no priorities.
/// </summary>
internal sealed class PriorityConcurrencyLimiter
{
    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly int _queue;
    private readonly int[] _limits;
    private readonly LinkedList<TaskCompletionSource<bool>>[] _waiting = [new(), new(), new()];
    private int _taken;
    private int _waitingCount;

    public PriorityConcurrencyLimiter(IOptions<AdmissionOptions> options, TimeProvider time)
    {
        (_time, _queue) = (time, options.Value.Queue);
        var all = (long)options.Value.Concurrency;
        // Indexed by RequestPriority.
        _limits = [(int)Math.Max(1, all * 80 / 100), (int)Math.Max(1, all * 90 / 100), (int)all];
    }

    public int Taken => Volatile.Read(ref _taken);

    public int Waiting => Volatile.Read(ref _waitingCount);

    /// <summary>
    /// Acquires a permit, at once or within <paramref name="wait"/>. False when there was none in time, when a request of higher priority displaced this one from the queue, or
    /// when <paramref name="cancellationToken"/> was cancelled. After true, call <see cref="Leave"/> exactly once.
    /// </summary>
    public ValueTask<bool> EnterAsync(RequestPriority priority, TimeSpan wait, CancellationToken cancellationToken)
    {
        LinkedListNode<TaskCompletionSource<bool>> waiter;
        TaskCompletionSource<bool>? dropped = null;
        lock (_lock)
        {
            // Nobody of this or a higher priority is waiting: Leave would have given them this permit, since their limits are no lower.
            if (_taken < _limits[(int)priority])
            {
                _taken++;
                return new(true);
            }

            if (_waitingCount == _queue)
            {
                dropped = TakeLessImportantWhileLocked(priority);
                if (dropped is null)
                {
                    return new(false);
                }
            }

            waiter = _waiting[(int)priority].AddLast(new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously));
            _waitingCount++;
        }

        dropped?.SetResult(false);
        return new(WaitAsync(waiter, wait, cancellationToken));
    }

    /// <summary>Releases a permit and hands it to the next waiting request.</summary>
    public void Leave()
    {
        lock (_lock)
        {
            _taken--;
            for (var priority = _waiting.Length - 1; priority >= 0; priority--)
            {
                var queue = _waiting[priority];
                while (queue.First is { } next && _taken < _limits[priority])
                {
                    RemoveWhileLocked(next);
                    _taken++;
                    next.Value.SetResult(true);
                }
            }
        }
    }

    private async Task<bool> WaitAsync(LinkedListNode<TaskCompletionSource<bool>> waiter, TimeSpan wait, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(wait, _time);
        using var late = timeout.Token.UnsafeRegister(_ => GiveUp(waiter), null);
        using var gone = cancellationToken.UnsafeRegister(_ => GiveUp(waiter), null);
        return await waiter.Value.Task;
    }

    private void GiveUp(LinkedListNode<TaskCompletionSource<bool>> waiter)
    {
        lock (_lock)
        {
            if (waiter.List is null)
            {
                // It has got a permit or was displaced in the meantime.
                return;
            }

            RemoveWhileLocked(waiter);
        }

        waiter.Value.SetResult(false);
    }

    private TaskCompletionSource<bool>? TakeLessImportantWhileLocked(RequestPriority than)
    {
        for (var priority = 0; priority < (int)than; priority++)
        {
            if (_waiting[priority].Last is { } newest)
            {
                RemoveWhileLocked(newest);
                return newest.Value;
            }
        }

        return null;
    }

    private void RemoveWhileLocked(LinkedListNode<TaskCompletionSource<bool>> waiter)
    {
        waiter.List!.Remove(waiter);
        _waitingCount--;
    }
}
