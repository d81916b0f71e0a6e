using System.Collections.Concurrent;
using System.Globalization;
using Platform.Drill.Planning;

namespace Platform.Drill.Running;

/// <summary>A client's request and its result.</summary>
/// <param name="Operation">The operation that it is for.</param>
/// <param name="Start">When it was sent.</param>
/// <param name="End">When it was answered or failed.</param>
/// <param name="Backend">The backend called.</param>
/// <param name="Request">Method and path.</param>
/// <param name="Key">Its Idempotency-Key.</param>
/// <param name="Status">The response's status; null if there was no response.</param>
/// <param name="Id">The id in the response's body.</param>
/// <param name="Detail">The problem's text, or the error if there was no response.</param>
internal sealed record Call(
    Operation Operation, DateTimeOffset Start, DateTimeOffset End, int Backend, string Request, string? Key, int? Status, Guid? Id, string Detail)
{
    /// <summary>Whether the result is final: repeating the call with the same key gives the same answer.</summary>
    public bool IsFinal => Status is >= 200 and < 500 and not (401 or 408 or 425 or 429) && !IsInProgress;

    private bool IsInProgress => Status == 409 && Detail.Contains("in progress", StringComparison.Ordinal);
}

/// <summary>A read of a page or asset of a store.</summary>
/// <param name="Deployer">The deployer called.</param>
/// <param name="Slug">The store.</param>
/// <param name="Start">When the request was sent.</param>
/// <param name="End">When it was answered or failed.</param>
/// <param name="Path">The file.</param>
/// <param name="Status">The response's status; null if there was no response.</param>
/// <param name="Shop">The shop's name on the page, which differs after each change; the error if there was no response.</param>
/// <param name="Version">The template's version in the page or asset.</param>
/// <param name="Of">For an asset: the version of the page that refers to it.</param>
internal sealed record StoreRead(
    int Deployer, string Slug, DateTimeOffset Start, DateTimeOffset End, string Path, int? Status, string? Shop, string? Version, string? Of);

/// <summary>A fault that was injected.</summary>
/// <param name="Fault">The plan.</param>
/// <param name="Victim">The process affected, or <c>postgres</c>.</param>
/// <param name="Start">When it began.</param>
/// <param name="End">When it ended.</param>
/// <param name="ProcessId">The id of the process affected, if it is one.</param>
internal sealed record InjectedFault(PlannedFault Fault, string Victim, DateTimeOffset Start, DateTimeOffset End, int? ProcessId);

/// <summary>Everything that was done and observed during one schedule.</summary>
internal sealed class History
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(50);

    public DateTimeOffset Begin { get; } = DateTimeOffset.UtcNow;

    public ConcurrentQueue<Call> Calls { get; } = new();

    public ConcurrentQueue<StoreRead> StoreReads { get; } = new();

    public ConcurrentQueue<InjectedFault> InjectedFaults { get; } = new();

    /// <summary>When processes were killed or stopped, and when they were ready again.</summary>
    public ConcurrentQueue<(string Process, DateTimeOffset At, bool Back)> Outages { get; } = new();

    /// <summary>Periods in which the machine was overloaded, so that processes may not have renewed their leases in time.</summary>
    public ConcurrentQueue<(DateTimeOffset From, DateTimeOffset Until)> Stalls { get; } = new();

    /// <summary>Detects <see cref="Stalls"/> by timers that fire late, until it is cancelled.</summary>
    public async Task DetectStallsAsync(CancellationToken cancellationToken)
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

/// <summary>A client's knowledge: a slug, and the shops that were created with it one after the other.</summary>
internal sealed class ShopClientState(string slug)
{
    public string Slug { get; } = slug;

    public List<Guid> Shops { get; } = [];

    /// <summary>When a deletion was first requested; from then on the store may be taken down at any moment.</summary>
    public DateTimeOffset? DeletionFirstRequestedAt { get; set; }

    public Guid? Current => Shops.Count > 0 ? Shops[^1] : null;
}
