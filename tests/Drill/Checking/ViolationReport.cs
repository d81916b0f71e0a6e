using System.Text;
using Platform.Drill.Planning;
using Platform.Drill.Running;
using Platform.Drill.Systems;

namespace Platform.Drill.Checking;

/// <summary>What a person needs to understand a violation: the plan, the faults as they came, and all that is known of the shops concerned.</summary>
internal sealed class ViolationReport(PlatformUnderDrill platform, Schedule schedule, History history, IReadOnlyList<ShopClientState> shops)
{
    public async Task<string> WriteAsync(IReadOnlyList<Violation> violations, CancellationToken cancellationToken)
    {
        var tables = await Tables.ReadAsync(platform, cancellationToken);
        var text = new StringBuilder();
        Line($"Seed {schedule.Seed}: {violations.Count} violations. Again: ./drill --seed {schedule.Seed} --schedules 1{(schedule.RollsOut ? " --from COMMIT" : "")}");
        foreach (var violation in violations)
            Line($"  {violation.Invariant}: {violation.What}");
        Line("");
        Line("Faults, as planned:");
        foreach (var fault in schedule.Faults)
            Line($"  {fault}");
        Line("Faults, as they came:");
        foreach (var strike in history.Strikes.OrderBy(strike => strike.Start))
            Line($"  {history.At(strike.Start)} to {history.At(strike.End)} {strike.Fault.Kind} {(strike.Fault.IsAroundCommit ? strike.Fault.Point : "")} on {strike.Victim} (process {strike.ProcessId})");
        foreach (var (process, at, back) in history.Absences.OrderBy(absence => absence.At))
            Line($"  {history.At(at)} {process} {(back ? "is ready again" : schedule.RollsOut ? "was asked to end" : "was killed")}");

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
            Line("  the pointer:");
            foreach (var move in tables.Moves.Where(move => state.Shops.Contains(move.ShopId)))
                Line($"  {history.At(new DateTimeOffset(move.At))} {move.Serial} to {move.Release} of {move.Sequence} {(move.Release is { } release ? tables.Releases.GetValueOrDefault(release) : "")}{(move.TakenDown ? " taken down" : "")}");
            Line("  messages:");
            foreach (var message in tables.FromBackend.Concat(tables.FromDeployer).Where(message => state.Shops.Contains(message.PartitionKey)).OrderBy(message => message.Sequence))
                Line($"  {message.Sequence} {message.Type} {message.Id} about {message.Subject}{(tables.TakenByBackend.Contains(message.Id.ToString()) || tables.TakenByDeployer.Contains(message.Id.ToString()) ? "" : " NOT TAKEN")}");
            Line("  what was served, where it changed:");
            foreach (var deployer in history.Looks.Where(look => look.Slug == state.Slug).GroupBy(look => look.Deployer))
            {
                string? last = null;
                foreach (var look in deployer)
                {
                    var now = look.Of is not null ? $"{look.Path} {look.Status} {look.Version}" : $"{look.Path} {look.Status} {look.Shop} {look.Version}";
                    if (now != last && (look.Of is null || look.Of != look.Version))
                        Line($"  deployer-{look.Deployer} {history.At(look.Start)} to {history.At(look.End)} {now}");
                    last = look.Of is null ? now : last;
                }
            }
        }

        foreach (var process in platform.Processes)
        {
            Line("");
            Line($"{process.Name} said:");
            foreach (var line in process.Log.TakeLast(400))
                Line($"  {line}");
        }

        return text.ToString();

        void Line(string line) => text.Append(line).Append('\n');

        string Process(Guid? worker) => worker is { } id && tables.Processes.TryGetValue(id, out var process) ? $"process {process}" : "nobody";
    }
}
