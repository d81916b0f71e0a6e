using Platform.Drill.Planning;

namespace Platform.Drill.Tests;

/// <summary>The generation of schedules from seeds.</summary>
public sealed class ScheduleTests
{
    [Fact]
    public void The_same_seed_gives_the_same_schedule()
    {
        foreach (var seed in Enumerable.Range(0, 50))
            Describe(Schedule.Generate(seed)).ShouldBe(Describe(Schedule.Generate(seed)));
        Enumerable.Range(0, 50).Select(seed => Describe(Schedule.Generate(seed))).ShouldBeUnique();
    }

    [Fact]
    public void Every_schedule_has_at_least_20_operations_and_3_faults()
    {
        foreach (var schedule in Enumerable.Range(0, 1_000).Select(Schedule.Generate))
        {
            schedule.OperationCount.ShouldBeGreaterThanOrEqualTo(20);
            schedule.Faults.Count.ShouldBeGreaterThanOrEqualTo(3);
        }
    }

    [Fact]
    public void A_thousand_schedules_contain_every_kind_of_fault_and_operation_often()
    {
        var schedules = Enumerable.Range(1, 1_000).Select(Schedule.Generate).ToList();

        foreach (var kind in Enum.GetValues<FaultKind>())
            schedules.Sum(schedule => schedule.Faults.Count(fault => fault.Kind == kind)).ShouldBeGreaterThan(150, kind.ToString());
        foreach (var kind in Enum.GetValues<OperationKind>())
            schedules.Sum(schedule => schedule.Shops.Sum(shop => shop.Count(operation => operation.Kind == kind))).ShouldBeGreaterThan(500, kind.ToString());
        schedules.SelectMany(schedule => schedule.Faults).Where(fault => fault.IsAroundCommit).Select(fault => fault.Point).Distinct().Count()
            .ShouldBe(Enum.GetValues<CommitPoint>().Length);
    }

    private static string Describe(Schedule schedule) =>
        string.Join('\n', schedule.Faults.Select(fault => fault.ToString()).Concat(schedule.Shops.SelectMany(shop => shop).Select(operation => operation.ToString())));
}
