namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// A concurrency limit with priorities. Of the places the most important may use all, the others only a share (80 % reads, 90 % other
/// changes), so that when it is tight there is room left for what matters more; telephone networks do so under the name of trunk
/// reservation, and Google's SRE book (chapter 21, "Handling Overload") with criticality. Who finds no place waits in a bounded queue: a
/// place that becomes free goes to the most important, among those to who has waited longest; when the queue is full, the newest of the
/// least important is dropped for one that is more important than it.
/// <see cref="System.Threading.RateLimiting.ConcurrencyLimiter"/> has one queue and knows no priorities.
/// </summary>
internal sealed class Places
{
    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly int _queue;
    private readonly int[] _limits;
    private readonly LinkedList<TaskCompletionSource<bool>>[] _waiting = [new(), new(), new()];
    private int _taken;
    private int _waitingCount;

    public Places(IOptions<AdmissionOptions> options, TimeProvider time)
    {
        (_time, _queue) = (time, options.Value.Queue);
        var all = (long)options.Value.Concurrency;
        // from the least important to the most, as RequestPriority is
        _limits = [(int)Math.Max(1, all * 80 / 100), (int)Math.Max(1, all * 90 / 100), (int)all];
    }

    public int Taken => Volatile.Read(ref _taken);

    public int Waiting => Volatile.Read(ref _waitingCount);

    /// <summary>
    /// Takes a place, now or within <paramref name="wait"/>. False: there was none, a more important request needed this one's place in the queue, or
    /// <paramref name="cancellationToken"/> said that nobody waits for it any more. True: <see cref="Leave"/> must be called, once.
    /// </summary>
    public ValueTask<bool> EnterAsync(RequestPriority priority, TimeSpan wait, CancellationToken cancellationToken)
    {
        LinkedListNode<TaskCompletionSource<bool>> waiter;
        TaskCompletionSource<bool>? dropped = null;
        lock (_lock)
        {
            // nobody of the same or a higher priority can be waiting here: their limit is no lower, so that they would have this place
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

    /// <summary>Gives a place back, and to whom it is due next.</summary>
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
                // it was given a place or dropped in the meantime
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
