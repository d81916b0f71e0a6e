using System.Text.Json;
using Dapper;
using Npgsql;
using Platform.Drill.Planning;
using Platform.Drill.Running;
using Platform.Drill.Systems;

namespace Platform.Drill.Checking;

/// <summary>A broken invariant.</summary>
/// <param name="Invariant">The invariant's name.</param>
/// <param name="What">The evidence.</param>
/// <param name="Shop">The shop concerned; the report shows its history.</param>
internal sealed record Violation(string Invariant, string What, Guid? Shop = null);

/// <summary>Checks the clients' calls, the databases and the pages served against the invariants of deployments.</summary>
internal sealed class HistoryChecker(PlatformUnderDrill platform, History history, IReadOnlyList<ShopClientState> shops)
{
    private static readonly TimeSpan Slow = TimeSpan.FromMilliseconds(300);

    private static readonly TimeSpan LeaseTolerance = TimeSpan.FromSeconds(3);

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

    /// <summary>Work that was accepted and is unfinished, or a lease or claim that is still held; null if there is none.</summary>
    public async Task<string?> FindUnfinishedAsync(CancellationToken cancellationToken)
    {
        const string Common = """
            select format('%s %s has not been sent', type, id) from outbox where dead_at is null
            union all select format('key %s has %s pending messages', partition_key, pending) from outbox_keys where pending > 0 and not held
            union all select format('key %s is still leased', partition_key) from outbox_keys where lease_until > now()
            union all select format('process %s is registered but not running', process_id) from processes where process_id <> all(@processes)
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

    public async Task<IReadOnlyList<Violation>> CheckAsync(CancellationToken cancellationToken)
    {
        var tables = await Tables.ReadAsync(platform, cancellationToken);
        _violations.AddRange(tables.Anomalies.Select(anomaly => new Violation("Accepted is kept", anomaly)));
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
        _violations.AddRange(new StoreReadChecker(history, shops).Check(tables));
        return _violations;
    }

    private void Violated(string invariant, string what, Guid? shop = null) => _violations.Add(new(invariant, what, shop));

    /// <summary>Each call gets a status allowed for its kind, and all calls with one key get the same answer.</summary>
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

    /// <summary>Every accepted deployment and change exists exactly once, and no others exist.</summary>
    private void CheckAccepted(Tables tables)
    {
        var accepting = history.Calls.Where(call => call.Operation.Kind is OperationKind.Deploy or OperationKind.DeployBroken or OperationKind.RollBack).ToList();
        foreach (var shop in shops.SelectMany(shop => shop.Shops))
        {
            var calls = accepting.Where(call => call.Request.Contains(shop.ToString(), StringComparison.Ordinal)).ToList();
            var confirmed = calls.Where(call => call.Status == 202).Select(call => call.Id!.Value).ToHashSet();
            var existing = tables.Accepted.Where(deployment => deployment.ShopId == shop).Select(deployment => deployment.Id).ToHashSet();
            foreach (var lost in confirmed.Except(existing))
                Violated("Accepted is kept", $"Deployment {lost} was accepted and does not exist.", shop);
            // A call without a key that got no answer may have been accepted or not.
            var unknown = calls.Count(call => call.Key is null && !call.IsFinal);
            if (existing.Except(confirmed).Count() > unknown)
                Violated("Once", $"{existing.Except(confirmed).Count()} deployments exist that were confirmed to no client ({string.Join(", ", existing.Except(confirmed))}); {unknown} calls without a key may explain as many.", shop);

            var changes = history.Calls.Where(call => call.Operation.Kind == OperationKind.Change && call.Request.Contains(shop.ToString(), StringComparison.Ordinal)).ToList();
            var confirmedChanges = changes.Where(call => call.Status == 200).DistinctBy(call => call.Operation.Number).Count();
            var possibleChanges = changes.Where(call => call.Key is null && !call.IsFinal).DistinctBy(call => call.Operation.Number).Count();
            if (tables.Shops.SingleOrDefault(row => row.Id == shop) is { } stored && (stored.Version - 1 < confirmedChanges || stored.Version - 1 > confirmedChanges + possibleChanges))
                Violated("Once", $"The shop was changed {stored.Version - 1} times, and {confirmedChanges} changes were confirmed ({possibleChanges} more are possible).", shop);
        }

        foreach (var deployment in tables.Accepted.Where(accepted => tables.Deployments.All(deployment => deployment.Id != accepted.Id)))
            Violated("Accepted is kept", $"StoreDeployer never received deployment {deployment.Id}.", deployment.ShopId);
    }

    /// <summary>Every message sent was received.</summary>
    private void CheckMessages(Tables tables)
    {
        foreach (var message in tables.FromBackend.Where(message => !tables.TakenByDeployer.Contains(message.Id.ToString())))
            Violated("Accepted is kept", $"StoreDeployer has not received {message.Type} {message.Id} about {message.Subject}, and Backend no longer sends it.", message.PartitionKey);
        foreach (var message in tables.FromDeployer.Where(message => !tables.TakenByBackend.Contains(message.Id.ToString())))
            Violated("In order", $"Backend has not received {message.Type} {message.Id} about {message.Subject}, and StoreDeployer no longer sends it.", message.PartitionKey);
    }

    /// <summary>Status transitions are valid, one deployment per shop runs at a time, and none starts after a newer one was queued or live.</summary>
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

    /// <summary>The active release only changes to that of a newer deployment, is complete, and is set exactly once for each live deployment.</summary>
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
                Violated("Whole", $"The pointer was set to release {move.Release}, which had {move.Pages} of the 2 required pages.", shop);
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

    /// <summary>Only a worker that was killed, paused or disconnected loses a lease.</summary>
    private void CheckLeases(Tables tables)
    {
        foreach (var loss in tables.Changes.Where(change => change.Lost > (change.OldLost ?? 0)))
        {
            var process = loss.OldWorker is { } worker && tables.Processes.TryGetValue(worker, out var id) ? id : 0;
            var at = new DateTimeOffset(loss.At);
            // A commit that is delayed while its transaction holds the deployment's lock also blocks the renewal of the lease. The verify step holds no lock, so its delay is no excuse.
            var explained = history.InjectedFaults.Any(injected => injected.Start <= at
                && (injected.Victim == "postgres"
                    || injected.ProcessId == process && (injected.Fault.Kind, injected.Fault.Point) is not (FaultKind.Delay, CommitPoint.Verify)));
            // A process that gets no CPU time can't renew its leases either. That shows in stalls of this process, or in slow answers of the deployer.
            explained |= history.Stalls.Any(stall => stall.Until >= at - LeaseTolerance && stall.From <= at)
                || platform.Of(Role.Deployer).FirstOrDefault(deployer => deployer.ProcessIds.Contains(process)) is { } deployer
                && history.StoreReads.Any(read => read.Deployer == deployer.Index && read.End >= at - LeaseTolerance && read.Start <= at && read.End - read.Start > Slow);
            if (!explained)
                Violated("Fenced", $"Process {process} lost deployment {loss.Id} at {history.At(at)} s although no fault had affected it.", loss.ShopId);
        }
    }

    /// <summary>A deployment fails only for permanent reasons of its own, never because a dependency is unavailable.</summary>
    private void CheckFailures(Tables tables)
    {
        foreach (var deployment in tables.Deployments)
        {
            var broken = deployment.TemplateVersion == DrillTemplate.BrokenVersion && deployment.Kind == "deployment";
            var mayFail = broken ? ["broken-link"] : deployment.Kind == "rollback" ? (string[])["no-former-release", "release-not-found"] : [];
            if (deployment.Status == "failed" && !mayFail.Contains(deployment.ErrorCode))
                Violated("Accepted is kept", $"Deployment {deployment.Id} failed with {deployment.ErrorCode}.", deployment.ShopId);
            if (mayFail.Length == 0 && deployment.Failures > 0)
                Violated("Accepted is kept", $"A step of deployment {deployment.Id} failed {deployment.Failures} times although the deployment is valid.", deployment.ShopId);
            if (broken && deployment.Status == "live")
                Violated("Whole", $"Deployment {deployment.Id} went live with a broken link.", deployment.ShopId);
        }
    }

    /// <summary>Backend has applied each message about a deployment exactly once and in order.</summary>
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

            // Events that are not caused by messages: acceptance, and requests to cancel or retry.
            var byCalls = 1;
            for (var n = 1; n < states.Count; n++)
            {
                var (before, after) = (states[n - 1], states[n]);
                if (!before.TryGetProperty("cancelRequestedAt", out _) && after.TryGetProperty("cancelRequestedAt", out _) || Status(before) == "failed" && Status(after) == "queued")
                    byCalls++;
            }

            var sent = messages[deployment.Id.ToString()].ToList();
            // Messages about a deleted shop are ignored.
            var deleted = tables.Stores.SingleOrDefault(store => store.ShopId == deployment.ShopId)?.TakenDown ?? false;
            if (states.Count > byCalls + sent.Count + (deleted ? 1 : 0) || !deleted && states.Count != byCalls + sent.Count)
                Violated("Once", $"Deployment {deployment.Id} has {states.Count} events, of which {byCalls} by calls, and {sent.Count} messages were sent about it.", deployment.ShopId);
            if (deleted)
                continue;

            var at = 0;
            foreach (var message in sent)
            {
                var steps = Steps(message.Json.GetProperty("steps"));
                while (at < states.Count && (Steps(states[at].GetProperty("steps")) != steps || message.Type == "deployment.finished" && Status(states[at]) != Status(message.Json)))
                    at++;
                if (at++ >= states.Count)
                {
                    Violated("In order", $"The events of deployment {deployment.Id} do not contain {message.Type} {message.Id} ({Status(message.Json)}) in the right order.", deployment.ShopId);
                    break;
                }
            }
        }

        static string Status(JsonElement deployment) => deployment.GetProperty("status").GetString()!;

        static string Steps(JsonElement steps) => string.Join(' ', steps.EnumerateArray().Select(step =>
            $"{step.GetProperty("name").GetString()}:{step.GetProperty("attempts").GetInt32()}:{Has(step, "startedAt")}:{Has(step, "finishedAt")}:{Has(step, "error")}"));

        static bool Has(JsonElement step, string property) => step.TryGetProperty(property, out var value) && value.ValueKind != JsonValueKind.Null;
    }

    /// <summary>Both services have the same state of each deployment, and deleted shops are deleted in both.</summary>
    private void CheckAgreement(Tables tables)
    {
        foreach (var accepted in tables.Accepted)
        {
            var deleted = tables.Stores.SingleOrDefault(store => store.ShopId == accepted.ShopId)?.TakenDown ?? false;
            if (tables.Deployments.SingleOrDefault(deployment => deployment.Id == accepted.Id) is { } deployed && !deleted && (deployed.Status, deployed.Release) != (accepted.Status, accepted.Release))
                Violated("In order", $"Deployment {accepted.Id} is {accepted.Status} ({accepted.Release}) at Backend and {deployed.Status} ({deployed.Release}) at StoreDeployer.", accepted.ShopId);
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
}
