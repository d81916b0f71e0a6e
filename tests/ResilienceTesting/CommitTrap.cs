namespace Platform.ResilienceTesting;

/// <summary>The two moments at which nobody but the server knows whether a transaction is done.</summary>
public enum CommitMoment
{
    /// <summary>Everything but the commit has reached the server: without it, it is all undone.</summary>
    BeforeItArrives,

    /// <summary>The server has committed; the client does not know.</summary>
    BeforeItsReply,
}

/// <summary>
/// Waits for a commit on the connections of the <see cref="PostgresFaultProxy"/>s that it is armed on, and holds it. A statement outside a transaction
/// is its own commit. It snaps once.
/// </summary>
public sealed class CommitTrap
{
    private readonly TaskCompletionSource<HeldCommit> _held = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly string _statement;
    private int _left;

    /// <summary>Makes a trap, to be armed with <see cref="PostgresFaultProxy.Arm"/>.</summary>
    /// <param name="statement">A piece of the text of a statement in the transaction; case counts.</param>
    /// <param name="moment">Where the commit is held.</param>
    /// <param name="occurrence">The how manieth such commit, 1 or more.</param>
    public CommitTrap(string statement, CommitMoment moment, int occurrence = 1)
    {
        ArgumentException.ThrowIfNullOrEmpty(statement);
        ArgumentOutOfRangeException.ThrowIfLessThan(occurrence, 1);
        (_statement, Moment, _left) = (statement, moment, occurrence);
    }

    /// <summary>Where the commit is held.</summary>
    public CommitMoment Moment { get; }

    /// <summary>The commit, once it is held; cancelled when the trap was disarmed before.</summary>
    public Task<HeldCommit> Held => _held.Task;

    /// <summary>From now on it takes nothing. False when it has something.</summary>
    public bool Disarm()
    {
        Interlocked.Exchange(ref _left, 0);
        return _held.TrySetCanceled();
    }

    /// <summary>Whether this is the commit that it waits for; at most once.</summary>
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

/// <summary>A commit that waits for what is to become of it.</summary>
public sealed class HeldCommit
{
    private readonly TaskCompletionSource<bool> _goesOn = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal HeldCommit(PostgresFaultProxy proxy) => Proxy = proxy;

    /// <summary>The proxy that holds it, which says whose it is.</summary>
    public PostgresFaultProxy Proxy { get; }

    internal Task<bool> GoesOn => _goesOn.Task;

    /// <summary>Lets the commit, or its reply, go on its way.</summary>
    public void Release() => _goesOn.TrySetResult(true);

    /// <summary>Ends the connection instead.</summary>
    public void Cut() => _goesOn.TrySetResult(false);
}
