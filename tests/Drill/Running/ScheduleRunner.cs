using System.Diagnostics;
using System.Globalization;
using Dapper;
using Npgsql;
using Platform.Drill.Checking;
using Platform.Drill.Planning;
using Platform.Drill.Systems;

namespace Platform.Drill.Running;

/// <summary>The result of a schedule.</summary>
internal sealed record ScheduleResult(Schedule Schedule, int Operations, IReadOnlyList<InjectedFault> InjectedFaults, int StoreReads, IReadOnlyList<Violation> Violations, TimeSpan Took, string Report);

/// <summary>Runs one schedule on a healthy system, waits until the system is healthy and idle again, and checks the history.</summary>
internal sealed class ScheduleRunner(PlatformUnderDrill platform)
{
    // How long accepted work may take after all faults have ended.
    private static readonly TimeSpan QuietTimeout = TimeSpan.FromSeconds(45);

    // How long faults around commits may still wait for their commit.
    private static readonly TimeSpan AfterLastOperation = TimeSpan.FromMilliseconds(250);

    private static int _runs;

    public async Task<ScheduleResult> RunAsync(Schedule schedule, CancellationToken cancellationToken)
    {
        var watch = Stopwatch.StartNew();
        // Slugs and keys contain the number of the run, because services cache them and the same seed may run twice on one system.
        var run = string.Create(CultureInfo.InvariantCulture, $"d{Interlocked.Increment(ref _runs)}-{schedule.Seed}");
        await platform.ForgetAsync(cancellationToken);
        var history = new History();
        var shops = Enumerable.Range(0, schedule.Shops.Count).Select(shop => new ShopClientState($"{run}-{shop}")).ToList();
        var readers = platform.Of(Role.Deployer).Select(deployer => new StoreReader(deployer, shops, history)).ToList();
        var clients = shops.Select(shop => new ShopClient(platform, history, shop, run)).ToList();
        var violations = new List<Violation>();
        try
        {
            using var reading = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            using var operationsDone = new CancellationTokenSource();
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var detecting = history.DetectStallsAsync(reading.Token);
            var reads = readers.Select(reader => Task.Run(() => reader.RunAsync(reading.Token), CancellationToken.None)).ToList();
            var faults = new FaultRunner(platform, history);
            var injecting = schedule.Faults.Select(fault => Task.Run(() => faults.RunAsync(fault, operationsDone.Token, cancellationToken), CancellationToken.None)).ToList();
            if (schedule.RollsOut)
                injecting.Add(Task.Run(() => platform.RollOutAsync(history, cancellationToken), CancellationToken.None));
            var working = Task.WhenAll(clients.Select((client, n) => client.RunAsync(schedule.Shops[n], limit.Token)));
            try
            {
                await working.WaitAsync(TimeSpan.FromSeconds(60), cancellationToken);
            }
            catch (TimeoutException)
            {
                violations.Add(new("Accepted is kept", "A call with an Idempotency-Key got no final answer within a minute."));
                await limit.CancelAsync();
                await working.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            }

            await Task.Delay(AfterLastOperation, cancellationToken);
            await operationsDone.CancelAsync();
            await Task.WhenAll(injecting);
            await platform.HealAsync(cancellationToken);

            var checker = new HistoryChecker(platform, history, shops);
            if (await WaitUntilQuietAsync(checker, cancellationToken) is { } unfinished)
                violations.Add(new("Accepted is kept", $"{QuietTimeout.TotalSeconds:0} s after the last fault: {unfinished}"));
            violations.AddRange(await new StoreReadChecker(history, shops).CheckNowAsync(await Tables.ReadAsync(platform, cancellationToken), readers, cancellationToken));
            await reading.CancelAsync();
            await Task.WhenAll([detecting, .. reads]);
            violations.AddRange(await checker.CheckAsync(cancellationToken));
            var report = violations.Count == 0 ? "" : await new ViolationReport(platform, schedule, history, shops).WriteAsync(violations, cancellationToken);
            return new(schedule, schedule.OperationCount, [.. history.InjectedFaults], history.StoreReads.Count(read => read.Status == 200), violations, watch.Elapsed, report);
        }
        finally
        {
            readers.ForEach(reader => reader.Dispose());
            clients.ForEach(client => client.Dispose());
        }
    }

    private static async Task<string?> WaitUntilQuietAsync(HistoryChecker checker, CancellationToken cancellationToken)
    {
        var watch = Stopwatch.StartNew();
        while (true)
        {
            string? unfinished;
            try
            {
                unfinished = await checker.FindUnfinishedAsync(cancellationToken);
            }
            catch (NpgsqlException e)
            {
                unfinished = e.Message;
            }

            if (unfinished is null || watch.Elapsed > QuietTimeout)
                return unfinished;
            await Task.Delay(25, cancellationToken);
        }
    }
}
