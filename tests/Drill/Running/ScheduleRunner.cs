using System.Diagnostics;
using System.Globalization;
using Dapper;
using Npgsql;
using Platform.Drill.Checking;
using Platform.Drill.Planning;
using Platform.Drill.Systems;

namespace Platform.Drill.Running;

/// <summary>What a schedule came to.</summary>
internal sealed record ScheduleResult(Schedule Schedule, int Operations, IReadOnlyList<Strike> Strikes, int Looks, IReadOnlyList<Violation> Violations, TimeSpan Took, string Report);

/// <summary>Runs one schedule on a system that is well, waits until it is so again, and checks what happened.</summary>
internal sealed class ScheduleRunner(PlatformUnderDrill platform)
{
    // how long anything that was accepted may take once nothing is wrong any more
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(45);

    // a trap that nothing has come to by then is given up
    private static readonly TimeSpan AfterLastOperation = TimeSpan.FromMilliseconds(250);

    private static int _runs;

    public async Task<ScheduleResult> RunAsync(Schedule schedule, CancellationToken cancellationToken)
    {
        var watch = Stopwatch.StartNew();
        // services remember addresses and keys: the same seed a second time in one system must not meet them
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
            using var enough = new CancellationTokenSource();
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var keeping = history.KeepTimeAsync(reading.Token);
            var read = readers.Select(reader => Task.Run(() => reader.RunAsync(reading.Token), CancellationToken.None)).ToList();
            var faults = new FaultRunner(platform, history);
            var striking = schedule.Faults.Select(fault => Task.Run(() => faults.RunAsync(fault, enough.Token, cancellationToken), CancellationToken.None)).ToList();
            if (schedule.RollsOut)
                striking.Add(Task.Run(() => platform.RollOutAsync(history, cancellationToken), CancellationToken.None));
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
            await enough.CancelAsync();
            await Task.WhenAll(striking);
            await platform.HealAsync(cancellationToken);

            var checker = new HistoryChecker(platform, history, shops);
            if (await WaitUntilQuietAsync(checker, cancellationToken) is { } unfinished)
                violations.Add(new("Accepted is kept", $"{Patience.TotalSeconds:0} s after the last fault: {unfinished}"));
            violations.AddRange(await checker.CheckServedAsync(readers, cancellationToken));
            await reading.CancelAsync();
            await Task.WhenAll([keeping, .. read]);
            violations.AddRange(await checker.CheckAsync(cancellationToken));
            var report = violations.Count == 0 ? "" : await new ViolationReport(platform, schedule, history, shops).WriteAsync(violations, cancellationToken);
            return new(schedule, schedule.OperationCount, [.. history.Strikes], history.Looks.Count(look => look.Status == 200), violations, watch.Elapsed, report);
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

            if (unfinished is null || watch.Elapsed > Patience)
                return unfinished;
            await Task.Delay(25, cancellationToken);
        }
    }
}
