using System.Diagnostics;
using System.Globalization;
using Platform.Drill.Planning;
using Platform.Drill.Running;

namespace Platform.Drill.Checking;

/// <summary>Checks what was read from the stores against the releases that were activated.</summary>
internal sealed class StoreReadChecker(History history, IReadOnlyList<ShopClientState> shops)
{
    private static readonly TimeSpan ServedWithin = TimeSpan.FromSeconds(5);

    // How long after an interruption errors are still expected, while connections and pools recover.
    private static readonly TimeSpan RecoveryTime = TimeSpan.FromSeconds(2);

    /// <summary>Reads every store once everything is idle: every deployer must soon serve its active release.</summary>
    public async Task<IReadOnlyList<Violation>> CheckNowAsync(Tables tables, IReadOnlyList<StoreReader> readers, CancellationToken cancellationToken)
    {
        var found = new List<Violation>();
        foreach (var slug in shops.Select(shop => shop.Slug))
        {
            var live = tables.Stores.SingleOrDefault(store => store.Slug == slug && store.ActiveRelease is not null);
            var expected = live is null ? default : tables.Releases.GetValueOrDefault(live.ActiveRelease!.Value);
            foreach (var (reader, n) in readers.Select((reader, n) => (reader, n)))
            {
                var watch = Stopwatch.StartNew();
                while (true)
                {
                    var read = await reader.ReadAsync(slug, 0, cancellationToken);
                    if (live is null ? read.Status is 404 or 410 : read.Status == 200 && (read.Shop, read.Version) == expected)
                        break;
                    if (watch.Elapsed > ServedWithin)
                    {
                        found.Add(new("Whole", $"deployer-{n} serves {Show(read)} at {slug}, but the active release is {(live is null ? "none" : expected)}.", live?.ShopId));
                        break;
                    }

                    await Task.Delay(50, cancellationToken);
                }
            }
        }

        return found;
    }

    /// <summary>Readers see releases in order, a page and its assets belong to the same release, and live stores stay available.</summary>
    public IReadOnlyList<Violation> Check(Tables tables)
    {
        var found = new List<Violation>();
        foreach (var state in shops)
        {
            var activated = tables.Moves.Where(move => state.Shops.Contains(move.ShopId) && move.Release is not null)
                .Select(move => tables.Releases.GetValueOrDefault(move.Release!.Value)).ToList();
            foreach (var deployer in history.StoreReads.Where(read => read.Slug == state.Slug).GroupBy(read => read.Deployer))
            {
                DateTimeOffset? live = null;
                foreach (var read in deployer)
                {
                    if (read.Status != 200)
                    {
                        if (live <= read.Start && !(state.DeletionFirstRequestedAt <= read.End) && !IsExcused(read))
                            found.Add(new("Whole", $"deployer-{read.Deployer} answered {Show(read)} for /stores/{read.Slug}/{read.Path} at {history.At(read.Start)} s; the store was live.", state.Current));
                        continue;
                    }

                    live ??= read.End;
                    if (read.Of is not null && read.Of != read.Version)
                        found.Add(new("Whole", $"deployer-{read.Deployer} served at {history.At(read.Start)} s a page of version {read.Of} with {read.Path} of version {read.Version}.", state.Current));
                }

                if (FindOutOfOrder(deployer.Where(read => read is { Status: 200, Of: null }), activated) is { } wrong)
                {
                    var wasActive = activated.Contains((wrong.Shop!, wrong.Version!));
                    found.Add(new(wasActive ? "In order" : "Whole",
                        $"deployer-{wrong.Deployer} served ({wrong.Shop}, {wrong.Version}) of {wrong.Slug} at {history.At(wrong.Start)} s, {(wasActive ? "after a newer release" : "which was never activated")}. " +
                        $"Activated, in this order: {string.Join(", ", activated)}.", state.Current));
                }
            }
        }

        return found;
    }

    /// <summary>
    /// The first of one deployer's reads that shows an older release than a read which ended before it began, or one that was never <paramref name="activated"/>; null if
    /// there is none. Concurrent reads may see either of two releases.
    /// </summary>
    internal static StoreRead? FindOutOfOrder(IEnumerable<StoreRead> reads, List<(string Shop, string Version)> activated)
    {
        var served = new List<(DateTimeOffset End, int Index)>();
        foreach (var read in reads)
        {
            var from = served.Where(before => before.End <= read.Start).Select(before => before.Index).DefaultIfEmpty(0).Max();
            var index = activated.FindIndex(Math.Min(from, activated.Count), release => release == (read.Shop, read.Version));
            if (index < 0)
                return read;
            served.Add((read.End, index));
        }

        return null;
    }

    /// <summary>Whether a failed read is expected: the process was down, or its cache was deleted while the database was unavailable.</summary>
    private bool IsExcused(StoreRead read)
    {
        var name = $"deployer-{read.Deployer}";
        if (read.Status is null)
        {
            return history.Outages.Where(outage => outage.Process == name && outage.At <= read.End).OrderBy(outage => outage.At).LastOrDefault() is { Back: false }
                || history.Outages.Any(outage => outage.Process == name && outage.At >= read.Start - RecoveryTime && outage.At <= read.End + RecoveryTime)
                || history.InjectedFaults.Any(injected => injected.Victim == name && injected.Start <= read.End && injected.End + RecoveryTime >= read.Start);
        }

        return read.Status == 503
            && history.InjectedFaults.Any(injected => injected.Fault.Kind == FaultKind.CacheDeleted && injected.Victim == name && injected.Start <= read.End)
            && history.InjectedFaults.Any(injected => injected.Victim == "postgres" && injected.Start <= read.End && injected.End + RecoveryTime >= read.Start);
    }

    private static string Show(StoreRead read) => read.Status == 200 ? $"({read.Shop}, {read.Version})" : $"{read.Status?.ToString(CultureInfo.InvariantCulture) ?? "no answer"} {read.Shop}";
}
