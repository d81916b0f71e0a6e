using Platform.Drill.Planning;
using Platform.Drill.Running;
using Platform.Drill.Systems;

namespace Platform.Drill.Tests;

/// <summary>Runs a few fixed schedules on the whole system; ./drill runs any number.</summary>
public sealed class SmokeTests
{
    [Fact]
    public async Task A_few_schedules_violate_no_invariant()
    {
        var cancel = TestContext.Current.CancellationToken;
        await using var platform = await PlatformUnderDrill.StartAsync(otherVersion: null, cancel);
        var injected = new List<FaultKind>();
        foreach (var seed in (int[])[7, 10])
        {
            var result = await new ScheduleRunner(platform).RunAsync(Schedule.Generate(seed), cancel);
            result.Violations.ShouldBeEmpty(result.Report);
            injected.AddRange(result.InjectedFaults.Select(fault => fault.Fault.Kind));
        }

        // With fewer faults the test would be meaningless.
        injected.Distinct().Count().ShouldBeGreaterThanOrEqualTo(3);
    }
}
