using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Platform.Drill.Planning;
using Platform.Drill.Running;
using Platform.Drill.Systems;
using Spectre.Console;

namespace Platform.Drill;

/// <summary>Runs schedules with consecutive seeds and prints their results.</summary>
internal sealed class DrillRun(DrillArguments arguments)
{
    private readonly ConcurrentQueue<ScheduleResult> _results = new();
    private readonly Lock _output = new();
    private readonly Stopwatch _watch = new();
    private int _next;

    /// <summary>True if no invariant was violated.</summary>
    public async Task<bool> RunAsync(CancellationToken cancellationToken)
    {
        using var violated = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _watch.Start();
        await Task.WhenAll(Enumerable.Range(0, Math.Min(arguments.Systems, arguments.Schedules)).Select(_ => Task.Run(() => RunOnOneAsync(violated, cancellationToken), CancellationToken.None)));
        Print();
        return _results.All(result => result.Violations.Count == 0);
    }

    private async Task RunOnOneAsync(CancellationTokenSource violated, CancellationToken cancellationToken)
    {
        var platform = await PlatformUnderDrill.StartAsync(arguments.From, cancellationToken);
        try
        {
            // Warm-up without faults, whose result is ignored.
            await new ScheduleRunner(platform).RunAsync(Schedule.Generate(0) with { Faults = [] }, cancellationToken);
            while (!violated.IsCancellationRequested && Interlocked.Increment(ref _next) is var n && n <= arguments.Schedules)
            {
                var schedule = Schedule.Generate(arguments.Seed + n - 1);
                var result = await new ScheduleRunner(platform).RunAsync(arguments.From is null ? schedule : schedule.DuringRollout(), cancellationToken);
                _results.Enqueue(result);
                Report(result);
                if (result.Violations.Count == 0)
                    continue;
                if (!arguments.KeepGoing)
                {
                    await violated.CancelAsync();
                    return;
                }

                // A new system, so that the violation doesn't affect the next schedule.
                await platform.DisposeAsync();
                platform = await PlatformUnderDrill.StartAsync(arguments.From, cancellationToken);
            }
        }
        finally
        {
            await platform.DisposeAsync();
        }
    }

    private void Report(ScheduleResult result)
    {
        lock (_output)
        {
            if (result.Violations.Count > 0)
            {
                Directory.CreateDirectory("TestResults");
                var file = Path.Combine("TestResults", string.Create(CultureInfo.InvariantCulture, $"drill-{result.Schedule.Seed}.txt"));
                File.WriteAllText(file, result.Report);
                Console.WriteLine(result.Report.Split("\nLog of registry-0:", 2)[0]);
                Console.WriteLine($"The complete report, with the processes' logs, is in {file}.");
            }
            else if (_results.Count % 10 == 0 || arguments.Schedules <= 20)
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{_results.Count} of {arguments.Schedules} schedules, {_results.Count / _watch.Elapsed.TotalMinutes:0.0} a minute; seed {result.Schedule.Seed} took {result.Took.TotalSeconds:0.0} s: {(arguments.From is null ? string.Join(", ", result.InjectedFaults.Select(injected => injected.Fault.Kind)) : $"{result.StoreReads} pages read")}"));
            }
        }
    }

    private void Print()
    {
        var table = new Table().AddColumn("").AddColumn(new TableColumn("").RightAligned()).HideHeaders();
        table.AddRow("schedules", Text(_results.Count));
        table.AddRow("with violations", Text(_results.Count(result => result.Violations.Count > 0)));
        table.AddRow("operations", Text(_results.Sum(result => result.Operations)));
        table.AddRow("pages and assets read", Text(_results.Sum(result => result.StoreReads)));
        foreach (var kind in arguments.From is null ? Enum.GetValues<FaultKind>() : [])
            table.AddRow(kind.ToString(), Text(_results.Sum(result => result.InjectedFaults.Count(injected => injected.Fault.Kind == kind))));
        table.AddRow("minutes", (_watch.Elapsed.TotalMinutes).ToString("0.0", CultureInfo.InvariantCulture));
        AnsiConsole.Write(table);

        static string Text(int count) => count.ToString(CultureInfo.InvariantCulture);
    }
}
