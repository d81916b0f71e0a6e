using System.Collections.Concurrent;
using System.Globalization;
using Platform.Drill.Planning;

namespace Platform.Drill.Running;

/// <summary>One request of a client and what became of it.</summary>
/// <param name="Operation">The operation that it is for.</param>
/// <param name="Start">When it was sent.</param>
/// <param name="End">When it was answered or given up.</param>
/// <param name="Backend">Who was asked.</param>
/// <param name="Request">Method and path.</param>
/// <param name="Key">Its Idempotency-Key.</param>
/// <param name="Status">The answer's status; null when there was no answer.</param>
/// <param name="Id">The id in the answer's body.</param>
/// <param name="Detail">What else is worth knowing: the problem's text, or why there was no answer.</param>
internal sealed record Call(
    Operation Operation, DateTimeOffset Start, DateTimeOffset End, int Backend, string Request, string? Key, int? Status, Guid? Id, string Detail)
{
    /// <summary>Whether nothing more can come of it: the same key gets the same answer from now on.</summary>
    public bool IsFinal => Status is >= 200 and < 500 and not (401 or 408 or 425 or 429) && !IsInProgress;

    private bool IsInProgress => Status == 409 && Detail.Contains("in progress", StringComparison.Ordinal);
}

/// <summary>One look at a store.</summary>
/// <param name="Deployer">Who was asked.</param>
/// <param name="Slug">Which store.</param>
/// <param name="Start">When it was asked.</param>
/// <param name="End">When it was answered.</param>
/// <param name="Path">Which file.</param>
/// <param name="Status">The answer's status; null when there was no answer.</param>
/// <param name="Shop">The shop's name on the page, which is another after each change.</param>
/// <param name="Version">The template's version, as page or asset say it.</param>
/// <param name="Of">For an asset or a further page: the version of the page that leads to it.</param>
internal sealed record Look(
    int Deployer, string Slug, DateTimeOffset Start, DateTimeOffset End, string Path, int? Status, string? Shop, string? Version, string? Of);

/// <summary>A fault as it happened.</summary>
/// <param name="Fault">The plan.</param>
/// <param name="Victim">The process it struck, or what else.</param>
/// <param name="Start">When it began.</param>
/// <param name="End">When it was over.</param>
/// <param name="ProcessId">The id of the process that it struck, if it struck one.</param>
internal sealed record Strike(PlannedFault Fault, string Victim, DateTimeOffset Start, DateTimeOffset End, int? ProcessId);

/// <summary>Everything that was done and seen during one schedule.</summary>
internal sealed class History
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(50);

    public DateTimeOffset Begin { get; } = DateTimeOffset.UtcNow;

    public ConcurrentQueue<Call> Calls { get; } = new();

    public ConcurrentQueue<Look> Looks { get; } = new();

    public ConcurrentQueue<Strike> Strikes { get; } = new();

    /// <summary>Processes that were killed and came back, each with when that was.</summary>
    public ConcurrentQueue<(string Process, DateTimeOffset At, bool Back)> Absences { get; } = new();

    /// <summary>Stretches of time in which this machine let nobody go on, or hardly so: what must happen within a lease then did not.</summary>
    public ConcurrentQueue<(DateTimeOffset From, DateTimeOffset Until)> Stalls { get; } = new();

    /// <summary>Finds <see cref="Stalls"/> by how late timers fire here, until it is cancelled.</summary>
    public async Task KeepTimeAsync(CancellationToken cancellationToken)
    {
        var last = DateTimeOffset.UtcNow;
        while (!cancellationToken.IsCancellationRequested)
        {
            await Task.Delay(Tick, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            var now = DateTimeOffset.UtcNow;
            if (now - last > Tick * 5)
                Stalls.Enqueue((last, now));
            last = now;
        }
    }

    public string At(DateTimeOffset time) => string.Create(CultureInfo.InvariantCulture, $"{(time - Begin).TotalSeconds,7:0.000}");
}

/// <summary>A shop as its client knows it: one address, and under it one shop after the other.</summary>
internal sealed class ShopClientState(string slug)
{
    public string Slug { get; } = slug;

    public List<Guid> Shops { get; } = [];

    /// <summary>When a deletion was first asked for; from then on the store may be gone at any moment.</summary>
    public DateTimeOffset? DeletionFirstAskedAt { get; set; }

    public Guid? Current => Shops.Count > 0 ? Shops[^1] : null;
}
