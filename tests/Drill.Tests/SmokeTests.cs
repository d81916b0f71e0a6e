using Platform.Drill.Planning;
using Platform.Drill.Running;
using Platform.Drill.Systems;

namespace Platform.Drill.Tests;

/// <summary>A few fixed schedules on the whole system; ./drill runs as many as one likes.</summary>
public sealed class HandfulTests
{
    [Fact]
    public async Task No_invariant_is_violated_in_a_handful_of_schedules()
    {
        var cancel = TestContext.Current.CancellationToken;
        await using var platform = await PlatformUnderDrill.StartAsync(otherVersion: null, cancel);
        var struck = new List<FaultKind>();
        foreach (var seed in (int[])[7, 10])
        {
            var result = await new ScheduleRunner(platform).RunAsync(Schedule.Generate(seed), cancel);
            result.Violations.ShouldBeEmpty(result.Report);
            struck.AddRange(result.Strikes.Select(strike => strike.Fault.Kind));
        }

        // or else it says nothing
        struck.Distinct().Count().ShouldBeGreaterThanOrEqualTo(3);
    }
}
