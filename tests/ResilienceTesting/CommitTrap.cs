namespace Platform.ResilienceTesting;

/// <summary>The two moments at which the client can't know whether its transaction was committed.</summary>
public enum CommitMoment
{
    /// <summary>Everything except for the commit has reached the server, which will roll back if the connection ends.</summary>
    BeforeItArrives,

    /// <summary>The server has committed; its reply has not reached the client.</summary>
    BeforeItsReply,
}

/// <summary>
/// Holds one matching commit on the connections of the <see cref="PostgresFaultProxy"/>s that it is armed on. A statement outside a transaction is its own commit.
/// </summary>
public sealed class CommitTrap
{
    private readonly TaskCompletionSource<HeldCommit> _held = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly string _statement;
    private int _left;

    /// <summary>Creates a trap, to be armed with <see cref="PostgresFaultProxy.Arm"/>.</summary>
    /// <param name="statement">Part of the text of a statement in the transaction; case-sensitive.</param>
    /// <param name="moment">When the commit is held.</param>
    /// <param name="occurrence">Which of the matching commits is held, from 1.</param>
    public CommitTrap(string statement, CommitMoment moment, int occurrence = 1)
    {
        ArgumentException.ThrowIfNullOrEmpty(statement);
        ArgumentOutOfRangeException.ThrowIfLessThan(occurrence, 1);
        (_statement, Moment, _left) = (statement, moment, occurrence);
    }

    /// <summary>When the commit is held.</summary>
    public CommitMoment Moment { get; }

    /// <summary>Completes when a commit is held; cancelled if the trap is disarmed before.</summary>
    public Task<HeldCommit> Held => _held.Task;

    /// <summary>Prevents the trap from holding a commit. False if it already holds one.</summary>
    public bool Disarm()
    {
        Interlocked.Exchange(ref _left, 0);
        return _held.TrySetCanceled();
    }

    /// <summary>Whether this commit is to be held; true at most once.</summary>
    internal bool Takes(IReadOnlyList<string> statements)
    {
        foreach (var statement in statements)
        {
            if (statement.Contains(_statement, StringComparison.Ordinal))
                return Interlocked.Decrement(ref _left) == 0;
        }

        return false;
    }

    internal void Snap(HeldCommit held)
    {
        if (!_held.TrySetResult(held))
            held.Release();
    }
}

/// <summary>A commit held by a trap until it is released or cut.</summary>
public sealed class HeldCommit
{
    private readonly TaskCompletionSource<bool> _released = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal HeldCommit(PostgresFaultProxy proxy) => Proxy = proxy;

    /// <summary>The proxy that holds the commit.</summary>
    public PostgresFaultProxy Proxy { get; }

    /// <summary>True if the commit was released, false if it was cut.</summary>
    internal Task<bool> Released => _released.Task;

    /// <summary>Forwards the commit or its reply.</summary>
    public void Release() => _released.TrySetResult(true);

    /// <summary>Closes the connection instead.</summary>
    public void Cut() => _released.TrySetResult(false);
}
