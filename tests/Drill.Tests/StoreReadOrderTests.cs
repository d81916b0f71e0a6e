using Platform.Drill.Checking;
using Platform.Drill.Running;

namespace Platform.Drill.Tests;

/// <summary>The order in which readers of one deployer may see releases.</summary>
public sealed class StoreReadOrderTests
{
    private static readonly List<(string, string)> Activated = [("a", "1"), ("b", "1"), ("a", "1"), ("c", "2")];

    [Theory]
    [InlineData("0-1 a1, 2-3 a1, 4-5 b1, 6-7 a1, 8-9 c2", null)]
    [InlineData("0-1 b1, 2-3 c2", null)]
    [InlineData("0-1 c2, 2-3 a1", "a")]
    [InlineData("0-1 b1, 2-3 a1, 4-5 b1", "b")]
    [InlineData("0-1 d1", "d")]
    // The read of the old release began before the newer one was served, and ended after it.
    [InlineData("3-4 c2, 1-4 a1", null)]
    [InlineData("3-4 c2, 1-4 a1, 5-6 b1", "b")]
    public void A_read_must_not_show_an_older_release_than_one_that_ended_before_it_began(string reads, string? wrong)
    {
        var pages = reads.Split(", ").Select(read => new StoreRead(0, "slug", At(read[0]), At(read[2]), "", 200, read[4..5], read[5..], null));

        StoreReadChecker.FindOutOfOrder(pages, Activated)?.Shop.ShouldBe(wrong);
        (StoreReadChecker.FindOutOfOrder(pages, Activated) is null).ShouldBe(wrong is null);
    }

    private static DateTimeOffset At(char second) => DateTimeOffset.UnixEpoch.AddSeconds(second - '0');
}
