using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Dapper;
using Npgsql;
using Platform.Drill.Planning;
using Platform.Drill.Running;
using Platform.Drill.Systems;

namespace Platform.Drill.Checking;

/// <summary>A broken invariant.</summary>
/// <param name="Invariant">Which.</param>
/// <param name="What">What shows it.</param>
/// <param name="Shop">The shop that it is about; the report shows its history.</param>
internal sealed record Violation(string Invariant, string What, Guid? Shop = null);

/// <summary>Holds what the clients saw, what is in the tables and what was served against the invariants of a deployment's life.</summary>
internal sealed class HistoryChecker(PlatformUnderDrill platform, History history, IReadOnlyList<ShopClientState> shops)
{
    private static readonly TimeSpan ServedWithin = TimeSpan.FromSeconds(5);

    // how long after an interruption its consequences may still show: connections are made anew, the pool notices
    private static readonly TimeSpan Aftermath = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Slow = TimeSpan.FromMilliseconds(300);

    private static readonly TimeSpan LeaseAndMore = TimeSpan.FromSeconds(3);

    private static readonly HashSet<(string?, string)> Transitions =
    [
        (null, "queued"), (null, "cancelled"),
        ("queued", "running"), ("queued", "superseded"), ("queued", "cancelled"),
        ("running", "queued"), ("running", "live"), ("running", "failed"), ("running", "cancelled"), ("running", "superseded"),
        ("failed", "queued"), ("failed", "superseded"), ("failed", "cancelled"),
    ];

    private static readonly Dictionary<OperationKind, int[]> Answers = new()
    {
        [OperationKind.Create] = [201, 409],
        [OperationKind.Change] = [200, 404, 409, 412],
        [OperationKind.Deploy] = [202, 404, 409],
        [OperationKind.DeployBroken] = [202, 404, 409],
        [OperationKind.Cancel] = [202, 404, 409],
        [OperationKind.Retry] = [202, 404, 409],
        [OperationKind.RollBack] = [202, 404, 409],
        [OperationKind.Delete] = [202, 404],
    };

    private readonly List<Violation> _violations = [];

    /// <summary>Something that has been accepted and is not done, or held and not given back; null when there is nothing.</summary>
    public async Task<string?> FindUnfinishedAsync(CancellationToken cancellationToken)
    {
        const string Common = """
            select format('%s %s is still to be sent', type, id) from outbox where dead_at is null
            union all select format('key %s counts %s messages to send', partition_key, pending) from outbox_keys where pending > 0 and not held
            union all select format('key %s is still leased', partition_key) from outbox_keys where lease_until > now()
            union all select format('process %s is listed and not there', process_id) from processes where process_id <> all(@processes)
            """;
        return await FirstAsync(platform.BackendDb,
            $"""
            select format('deployment %s is %s at Backend', id, status) from deployments where status in ('queued', 'running')
            union all select format('shop %s is %s', id, status) from shops where status = 'deleting'
            union all select format('the key %s is still claimed', key) from idempotency_keys where status is null
            union all {Common} limit 1
            """) ?? await FirstAsync(platform.DeployerDb,
            $"select format('deployment %s is %s at StoreDeployer', id, status) from deployments where status in ('queued', 'running') union all {Common} limit 1");

        async Task<string?> FirstAsync(NpgsqlDataSource database, string sql)
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            return await connection.QueryFirstOrDefaultAsync<string>(new CommandDefinition(
                sql, new { processes = platform.Processes.Select(process => process.ProcessId).ToArray() }, cancellationToken: cancellationToken));
        }
    }

    /// <summary>Every deployer serves of every store what its pointer says, soon after everything is quiet.</summary>
    public async Task<IReadOnlyList<Violation>> CheckServedAsync(IReadOnlyList<StoreReader> readers, CancellationToken cancellationToken)
    {
        var tables = await Tables.ReadAsync(platform, cancellationToken);
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
                    var look = await reader.LookAsync(slug, 0, cancellationToken);
                    if (live is null ? look.Status is 404 or 410 : look.Status == 200 && (look.Shop, look.Version) == expected)
                        break;
                    if (watch.Elapsed > ServedWithin)
                    {
                        found.Add(new("Whole", $"deployer-{n} serves of {slug} {Show(look)}, and the pointer says {(live is null ? "nothing" : expected)}.", live?.ShopId));
                        break;
                    }

                    await Task.Delay(50, cancellationToken);
                }
            }
        }

        return found;
    }

    public async Task<IReadOnlyList<Violation>> CheckAsync(CancellationToken cancellationToken)
    {
        var tables = await Tables.ReadAsync(platform, cancellationToken);
        _violations.AddRange(tables.Oddities.Select(oddity => new Violation("Accepted is kept", oddity)));
        CheckAnswers();
        CheckAccepted(tables);
        CheckMessages(tables);
        foreach (var shop in tables.Deployments.GroupBy(deployment => deployment.ShopId))
        {
            CheckTransitions(tables, shop.Key);
            CheckPointer(tables, shop.Key);
        }

        CheckLeases(tables);
        CheckFailures(tables);
        CheckEvents(tables);
        CheckAgreement(tables);
        CheckLooks(tables);
        return _violations;
    }

    private static string Show(Look look) => look.Status == 200 ? $"({look.Shop}, {look.Version})" : $"{look.Status?.ToString(CultureInfo.InvariantCulture) ?? "no answer"} {look.Shop}";

    private void Violated(string invariant, string what, Guid? shop = null) => _violations.Add(new(invariant, what, shop));

    /// <summary>Each call gets an answer that its kind may get, and one key gets one answer.</summary>
    private void CheckAnswers()
    {
        foreach (var call in history.Calls.Where(call => call.Status is 500 || call.IsFinal && !Answers[call.Operation.Kind].Contains(call.Status!.Value)))
            Violated("Accepted is kept", $"{call.Request} ({call.Operation.Kind}) was answered {call.Status}: {call.Detail}");
        foreach (var key in history.Calls.Where(call => call.Key is not null && call.IsFinal).GroupBy(call => call.Key))
        {
            var answers = key.Select(call => (call.Status, call.Id)).Distinct().ToList();
            if (answers.Count > 1)
                Violated("Once", $"The key {key.Key} ({key.First().Operation.Kind}) got {answers.Count} different answers: {string.Join(", ", answers)}.");
        }
    }

    /// <summary>What was accepted is there, once, and nothing else is.</summary>
    private void CheckAccepted(Tables tables)
    {
        var accepting = history.Calls.Where(call => call.Operation.Kind is OperationKind.Deploy or OperationKind.DeployBroken or OperationKind.RollBack).ToList();
        foreach (var shop in shops.SelectMany(shop => shop.Shops))
        {
            var calls = accepting.Where(call => call.Request.Contains(shop.ToString(), StringComparison.Ordinal)).ToList();
            var told = calls.Where(call => call.Status == 202).Select(call => call.Id!.Value).ToHashSet();
            var there = tables.Accepted.Where(deployment => deployment.ShopId == shop).Select(deployment => deployment.Id).ToHashSet();
            foreach (var lost in told.Except(there))
                Violated("Accepted is kept", $"Deployment {lost} was accepted and is not there.", shop);
            // one that was sent without a key and not answered may have been accepted or not
            var unknown = calls.Count(call => call.Key is null && !call.IsFinal);
            if (there.Except(told).Count() > unknown)
                Violated("Once", $"{there.Except(told).Count()} deployments are there that no client was told of ({string.Join(", ", there.Except(told))}); {unknown} calls without a key may explain as many.", shop);

            var changes = history.Calls.Where(call => call.Operation.Kind == OperationKind.Change && call.Request.Contains(shop.ToString(), StringComparison.Ordinal)).ToList();
            var changed = changes.Where(call => call.Status == 200).DistinctBy(call => call.Operation.Number).Count();
            var maybe = changes.Where(call => call.Key is null && !call.IsFinal).DistinctBy(call => call.Operation.Number).Count();
            if (tables.Shops.SingleOrDefault(row => row.Id == shop) is { } existing && (existing.Version - 1 < changed || existing.Version - 1 > changed + maybe))
                Violated("Once", $"The shop was changed {existing.Version - 1} times, and {changed} changes were confirmed ({maybe} more may have been made).", shop);
        }

        foreach (var deployment in tables.Accepted.Where(accepted => tables.Deployments.All(deployment => deployment.Id != accepted.Id)))
            Violated("Accepted is kept", $"StoreDeployer never heard of deployment {deployment.Id}.", deployment.ShopId);
    }

    /// <summary>Every message that was sent has been taken.</summary>
    private void CheckMessages(Tables tables)
    {
        foreach (var message in tables.FromBackend.Where(message => !tables.TakenByDeployer.Contains(message.Id.ToString())))
            Violated("Accepted is kept", $"StoreDeployer has not taken {message.Type} {message.Id} about {message.Subject}, and Backend no longer sends it.", message.PartitionKey);
        foreach (var message in tables.FromDeployer.Where(message => !tables.TakenByBackend.Contains(message.Id.ToString())))
            Violated("In order", $"Backend has not taken {message.Type} {message.Id} about {message.Subject}, and StoreDeployer no longer sends it.", message.PartitionKey);
    }

    /// <summary>A deployment's statuses follow one another as they may, one of a shop runs at a time, and none runs that a newer one has superseded.</summary>
    private void CheckTransitions(Tables tables, Guid shop)
    {
        var now = new Dictionary<Guid, DeploymentChange>();
        foreach (var change in tables.Changes.Where(change => change.ShopId == shop))
        {
            if (!Transitions.Contains((change.OldStatus, change.Status)))
                Violated("Once", $"Deployment {change.Id} went from {change.OldStatus ?? "nothing"} to {change.Status} (claim {change.OldToken} to {change.Token}).", shop);
            if (change.Token != (change.OldToken ?? 0) && (change.OldStatus, change.Status) is not ("queued", "running"))
                Violated("Fenced", $"Deployment {change.Id} was claimed (claim {change.Token}) while it was {change.OldStatus}.", shop);
            if (change.Status == "running" && now.Values.FirstOrDefault(other => other.Id != change.Id && other.Status == "running") is { } running)
                Violated("Fenced", $"Deployment {change.Id} began to run while {running.Id} of the same shop was running.", shop);
            if (change.Status == "running" && now.Values.FirstOrDefault(other => other.Sequence > change.Sequence && other.Status is "queued" or "live") is { } newer)
                Violated("In order", $"Deployment {change.Id} began to run although {newer.Id}, which is newer, was {newer.Status}.", shop);
            now[change.Id] = change;
        }
    }

    /// <summary>The pointer moves to newer deployments only, to whole releases, and once for each deployment that goes live.</summary>
    private void CheckPointer(Tables tables, Guid shop)
    {
        var moves = tables.Moves.Where(move => move.ShopId == shop).ToList();
        var last = 0L;
        var down = false;
        foreach (var move in moves)
        {
            if (move.Release is null)
            {
                down |= move.TakenDown;
                continue;
            }

            if (down)
                Violated("In order", $"The pointer was set to release {move.Release} after the store had been taken down.", shop);
            if (move.Sequence <= last)
                Violated("In order", $"The pointer moved from deployment {last} to {move.Sequence}, which is not newer.", shop);
            if (move.Pages < 2)
                Violated("Whole", $"The pointer was set to release {move.Release}, of which {move.Pages} of the 2 compulsory pages were there.", shop);
            last = move.Sequence;
        }

        foreach (var deployment in tables.Deployments.Where(deployment => deployment.ShopId == shop))
        {
            var activations = moves.Count(move => move.Release is not null && move.Sequence == deployment.Sequence);
            var lives = tables.Changes.Count(change => change.Id == deployment.Id && change.Status == "live" && change.OldStatus != "live");
            if (activations != (deployment.Status == "live" ? 1 : 0) || lives != activations)
                Violated("Once", $"Deployment {deployment.Id} is {deployment.Status}; it was activated {activations} times and became live {lives} times.", shop);
        }
    }

    /// <summary>Only a worker that was killed, paused or cut off loses a lease.</summary>
    private void CheckLeases(Tables tables)
    {
        foreach (var loss in tables.Changes.Where(change => change.Lost > (change.OldLost ?? 0)))
        {
            var process = loss.OldWorker is { } worker && tables.Processes.TryGetValue(worker, out var id) ? id : 0;
            var at = new DateTimeOffset(loss.At);
            // what is held up while it holds a lock on the deployment keeps its own renewal waiting; the check of a release holds none, nor does one that waits for another's files
            var explained = history.Strikes.Any(strike => strike.Start <= at
                && (strike.Victim == "postgres"
                    || strike.ProcessId == process && (strike.Fault.Kind, strike.Fault.Point) is not (FaultKind.Delay, CommitPoint.Verify)));
            // nor does one keep its leases that was given no time: its stores were slow to answer then
            explained |= history.Stalls.Any(stall => stall.Until >= at - LeaseAndMore && stall.From <= at)
                || platform.Of(Role.Deployer).FirstOrDefault(deployer => deployer.ProcessIds.Contains(process)) is { } deployer
                && history.Looks.Any(look => look.Deployer == deployer.Index && look.End >= at - LeaseAndMore && look.Start <= at && look.End - look.Start > Slow);
            if (!explained)
                Violated("Fenced", $"Deployment {loss.Id} was taken from process {process} at {history.At(at)} s, which nothing had happened to.", loss.ShopId);
        }
    }

    /// <summary>A deployment fails for a reason of its own: everything else is waited for.</summary>
    private void CheckFailures(Tables tables)
    {
        foreach (var deployment in tables.Deployments)
        {
            var broken = deployment.TemplateVersion == DrillTemplate.BrokenVersion && deployment.Kind == "deployment";
            var mayFail = broken ? ["broken-link"] : deployment.Kind == "rollback" ? (string[])["no-former-release", "release-not-found"] : [];
            if (deployment.Status == "failed" && !mayFail.Contains(deployment.ErrorCode))
                Violated("Accepted is kept", $"Deployment {deployment.Id} failed with {deployment.ErrorCode}.", deployment.ShopId);
            if (mayFail.Length == 0 && deployment.Failures > 0)
                Violated("Accepted is kept", $"A step of deployment {deployment.Id} failed {deployment.Failures} times for no reason of its own.", deployment.ShopId);
            if (broken && deployment.Status == "live")
                Violated("Whole", $"Deployment {deployment.Id} went live with a broken link.", deployment.ShopId);
        }
    }

    /// <summary>Backend has applied each message about a deployment once, in order.</summary>
    private void CheckEvents(Tables tables)
    {
        var events = tables.Events.ToLookup(happened => happened.DeploymentId);
        var messages = tables.FromDeployer.Where(message => message.Type.StartsWith("deployment.", StringComparison.Ordinal)).ToLookup(message => message.Subject);
        foreach (var deployment in tables.Accepted)
        {
            var states = events[deployment.Id].Select(happened => JsonSerializer.Deserialize<JsonElement>(happened.Deployment)).ToList();
            var numbers = events[deployment.Id].Select(happened => happened.Number).ToList();
            if (!numbers.SequenceEqual(Enumerable.Range(1, numbers.Count)))
                Violated("In order", $"The events of deployment {deployment.Id} are numbered {string.Join(", ", numbers)}.", deployment.ShopId);

            var ours = 1;
            for (var n = 1; n < states.Count; n++)
            {
                var (before, after) = (states[n - 1], states[n]);
                if (!before.TryGetProperty("cancelRequestedAt", out _) && after.TryGetProperty("cancelRequestedAt", out _) || Status(before) == "failed" && Status(after) == "queued")
                    ours++;
            }

            var told = messages[deployment.Id.ToString()].ToList();
            // what is told of a shop that is gone changes nothing any more
            var gone = tables.Stores.SingleOrDefault(store => store.ShopId == deployment.ShopId)?.TakenDown ?? false;
            if (states.Count > ours + told.Count + (gone ? 1 : 0) || !gone && states.Count != ours + told.Count)
                Violated("Once", $"Deployment {deployment.Id} has {states.Count} events, {ours} by calls, and {told.Count} messages told of it.", deployment.ShopId);
            if (gone)
                continue;

            var at = 0;
            foreach (var message in told)
            {
                var steps = Steps(message.Json.GetProperty("steps"));
                while (at < states.Count && (Steps(states[at].GetProperty("steps")) != steps || message.Type == "deployment.finished" && Status(states[at]) != Status(message.Json)))
                    at++;
                if (at++ >= states.Count)
                {
                    Violated("In order", $"The events of deployment {deployment.Id} do not show {message.Type} {message.Id} ({Status(message.Json)}) in its place.", deployment.ShopId);
                    break;
                }
            }
        }

        static string Status(JsonElement deployment) => deployment.GetProperty("status").GetString()!;

        static string Steps(JsonElement steps) => string.Join(' ', steps.EnumerateArray().Select(step =>
            $"{step.GetProperty("name").GetString()}:{step.GetProperty("attempts").GetInt32()}:{Has(step, "startedAt")}:{Has(step, "finishedAt")}:{Has(step, "error")}"));

        static bool Has(JsonElement step, string property) => step.TryGetProperty(property, out var value) && value.ValueKind != JsonValueKind.Null;
    }

    /// <summary>Both services know the same of each deployment, and a deleted shop is gone from both.</summary>
    private void CheckAgreement(Tables tables)
    {
        foreach (var accepted in tables.Accepted)
        {
            var gone = tables.Stores.SingleOrDefault(store => store.ShopId == accepted.ShopId)?.TakenDown ?? false;
            if (tables.Deployments.SingleOrDefault(deployment => deployment.Id == accepted.Id) is { } there && !gone && (there.Status, there.Release) != (accepted.Status, accepted.Release))
                Violated("In order", $"Deployment {accepted.Id} is {accepted.Status} ({accepted.Release}) at Backend and {there.Status} ({there.Release}) at StoreDeployer.", accepted.ShopId);
        }

        foreach (var store in tables.Stores)
        {
            var shop = tables.Shops.SingleOrDefault(shop => shop.Id == store.ShopId);
            if (store.TakenDown && (shop is not null || store.ActiveRelease is not null))
                Violated("Accepted is kept", $"The shop of {store.Slug} was deleted; Backend has it as {shop?.Status ?? "gone"}, and release {store.ActiveRelease} is active.", store.ShopId);
            if (!store.TakenDown && shop is not null && shop.Release != store.ActiveRelease)
                Violated("In order", $"Backend knows release {shop.Release} of {store.Slug} and StoreDeployer serves {store.ActiveRelease}.", store.ShopId);
        }

        foreach (var call in history.Calls.Where(call => call.Operation.Kind == OperationKind.Delete && call.Status == 202))
        {
            var shop = shops.SelectMany(state => state.Shops).FirstOrDefault(id => call.Request.Contains(id.ToString(), StringComparison.Ordinal));
            if (tables.Stores.SingleOrDefault(store => store.ShopId == shop) is not { TakenDown: true })
                Violated("Accepted is kept", $"The deletion of shop {shop} was accepted and its store was not taken down.", shop);
        }
    }

    /// <summary>What readers see only moves forward, a page and what belongs to it are of one release, and what is live stays so.</summary>
    private void CheckLooks(Tables tables)
    {
        foreach (var state in shops)
        {
            var shown = tables.Moves.Where(move => state.Shops.Contains(move.ShopId) && move.Release is not null)
                .Select(move => tables.Releases.GetValueOrDefault(move.Release!.Value)).ToList();
            foreach (var deployer in history.Looks.Where(look => look.Slug == state.Slug).GroupBy(look => look.Deployer))
            {
                DateTimeOffset? live = null;
                foreach (var look in deployer)
                {
                    if (look.Status != 200)
                    {
                        if (live <= look.Start && !(state.DeletionFirstAskedAt <= look.End) && !IsExcused(look))
                            Violated("Whole", $"deployer-{look.Deployer} answered {Show(look)} for /stores/{look.Slug}/{look.Path} at {history.At(look.Start)} s; the store was live.", state.Current);
                        continue;
                    }

                    live ??= look.End;
                    if (look.Of is not null && look.Of != look.Version)
                        Violated("Whole", $"deployer-{look.Deployer} served at {history.At(look.Start)} s a page of version {look.Of} with {look.Path} of version {look.Version}.", state.Current);
                }

                if (FindOutOfOrder(deployer.Where(look => look is { Status: 200, Of: null }), shown) is { } wrong)
                {
                    var former = shown.Contains((wrong.Shop!, wrong.Version!));
                    Violated(former ? "In order" : "Whole",
                        $"deployer-{wrong.Deployer} served ({wrong.Shop}, {wrong.Version}) of {wrong.Slug} at {history.At(wrong.Start)} s, {(former ? "after something newer" : "which was never activated")}. " +
                        $"Activated, in this order: {string.Join(", ", shown)}.", state.Current);
                }
            }
        }
    }

    /// <summary>
    /// The first of one deployer's <paramref name="pages"/> that shows nothing of <paramref name="shown"/> from what was served before it was asked for; null when there is none.
    /// Two that were under way at the same time may be answered in either order.
    /// </summary>
    internal static Look? FindOutOfOrder(IEnumerable<Look> pages, List<(string Shop, string Version)> shown)
    {
        var served = new List<(DateTimeOffset End, int Place)>();
        foreach (var page in pages)
        {
            var from = served.Where(before => before.End <= page.Start).Select(before => before.Place).DefaultIfEmpty(0).Max();
            var place = shown.FindIndex(Math.Min(from, shown.Count), release => release == (page.Shop, page.Version));
            if (place < 0)
                return page;
            served.Add((page.End, place));
        }

        return null;
    }

    /// <summary>A process that is not there answers nothing; one whose cache was deleted depends on the database.</summary>
    private bool IsExcused(Look look)
    {
        var name = $"deployer-{look.Deployer}";
        if (look.Status is null)
        {
            return history.Absences.Where(absence => absence.Process == name && absence.At <= look.End).OrderBy(absence => absence.At).LastOrDefault() is { Back: false }
                || history.Absences.Any(absence => absence.Process == name && absence.At >= look.Start - Aftermath && absence.At <= look.End + Aftermath)
                || history.Strikes.Any(strike => strike.Victim == name && strike.Start <= look.End && strike.End + Aftermath >= look.Start);
        }

        return look.Status == 503
            && history.Strikes.Any(strike => strike.Fault.Kind == FaultKind.CacheDeleted && strike.Victim == name && strike.Start <= look.End)
            && history.Strikes.Any(strike => strike.Victim == "postgres" && strike.Start <= look.End && strike.End + Aftermath >= look.Start);
    }
}
