using System.Text;
using Platform.Drill.Planning;
using Platform.Drill.Running;
using Platform.Drill.Systems;

namespace Platform.Drill.Checking;

/// <summary>Writes the report on violations: planned and injected faults, and the history of the shops concerned.</summary>
internal sealed class ViolationReport(PlatformUnderDrill platform, Schedule schedule, History history, IReadOnlyList<ShopClientState> shops)
{
    public async Task<string> WriteAsync(IReadOnlyList<Violation> violations, CancellationToken cancellationToken)
    {
        var tables = await Tables.ReadAsync(platform, cancellationToken);
        var text = new StringBuilder();
        Line($"Seed {schedule.Seed}: {violations.Count} violations. To repeat: ./drill --seed {schedule.Seed} --schedules 1{(schedule.RollsOut ? " --from COMMIT" : "")}");
        foreach (var violation in violations)
            Line($"  {violation.Invariant}: {violation.What}");
        Line("");
        Line("Planned faults:");
        foreach (var fault in schedule.Faults)
            Line($"  {fault}");
        Line("Injected faults:");
        foreach (var injected in history.InjectedFaults.OrderBy(injected => injected.Start))
            Line($"  {history.At(injected.Start)} to {history.At(injected.End)} {injected.Fault.Kind} {(injected.Fault.IsAroundCommit ? injected.Fault.Point : "")} on {injected.Victim} (process {injected.ProcessId})");
        foreach (var (process, at, back) in history.Outages.OrderBy(outage => outage.At))
            Line($"  {history.At(at)} {process} {(back ? "is ready again" : schedule.RollsOut ? "was told to stop" : "was killed")}");

        var concerned = violations.Select(violation => violation.Shop).OfType<Guid>().ToHashSet();
        var states = shops.Where(shop => concerned.Count == 0 || shop.Shops.Exists(concerned.Contains)).ToList();
        foreach (var state in states)
        {
            Line("");
            Line($"{state.Slug}: shops {string.Join(", ", state.Shops)}");
            foreach (var call in history.Calls.Where(call => schedule.Shops[shops.ToList().IndexOf(state)].Any(operation => operation.Number == call.Operation.Number)).OrderBy(call => call.Start))
                Line($"  {history.At(call.Start)} to {history.At(call.End)} #{call.Operation.Number} {call.Operation.Kind} {call.Request} at backend-{call.Backend} key {call.Key}: {call.Status} {call.Id} {call.Detail}");
            Line("  statuses at StoreDeployer:");
            foreach (var change in tables.Changes.Where(change => state.Shops.Contains(change.ShopId)))
                Line($"  {history.At(new DateTimeOffset(change.At))} {change.Serial} {change.Kind} {change.Id} ({change.Sequence}): {change.OldStatus} -> {change.Status}, claim {change.Token} by {Process(change.Worker ?? change.OldWorker)}, lost {change.Lost}");
            Line("  active releases:");
            foreach (var move in tables.Moves.Where(move => state.Shops.Contains(move.ShopId)))
                Line($"  {history.At(new DateTimeOffset(move.At))} {move.Serial} to {move.Release} of {move.Sequence} {(move.Release is { } release ? tables.Releases.GetValueOrDefault(release) : "")}{(move.TakenDown ? " taken down" : "")}");
            Line("  messages:");
            foreach (var message in tables.FromBackend.Concat(tables.FromDeployer).Where(message => state.Shops.Contains(message.PartitionKey)).OrderBy(message => message.Sequence))
                Line($"  {message.Sequence} {message.Type} {message.Id} about {message.Subject}{(tables.TakenByBackend.Contains(message.Id.ToString()) || tables.TakenByDeployer.Contains(message.Id.ToString()) ? "" : " NOT RECEIVED")}");
            Line("  changes in what was served:");
            foreach (var deployer in history.StoreReads.Where(read => read.Slug == state.Slug).GroupBy(read => read.Deployer))
            {
                string? last = null;
                foreach (var read in deployer)
                {
                    var now = read.Of is not null ? $"{read.Path} {read.Status} {read.Version}" : $"{read.Path} {read.Status} {read.Shop} {read.Version}";
                    if (now != last && (read.Of is null || read.Of != read.Version))
                        Line($"  deployer-{read.Deployer} {history.At(read.Start)} to {history.At(read.End)} {now}");
                    last = read.Of is null ? now : last;
                }
            }
        }

        foreach (var process in platform.Processes)
        {
            Line("");
            Line($"Log of {process.Name}:");
            foreach (var line in process.Log.TakeLast(400))
                Line($"  {line}");
        }

        return text.ToString();

        void Line(string line) => text.Append(line).Append('\n');

        string Process(Guid? worker) => worker is { } id && tables.Processes.TryGetValue(id, out var process) ? $"process {process}" : "nobody";
    }
}
