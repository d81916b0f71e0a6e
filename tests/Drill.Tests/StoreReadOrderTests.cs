using Platform.Drill.Checking;
using Platform.Drill.Running;

namespace Platform.Drill.Tests;

/// <summary>What readers of one deployer may see one after the other.</summary>
public sealed class OrderOfLooksTests
{
    private static readonly List<(string, string)> Shown = [("a", "1"), ("b", "1"), ("a", "1"), ("c", "2")];

    [Theory]
    [InlineData("0-1 a1, 2-3 a1, 4-5 b1, 6-7 a1, 8-9 c2", null)]
    [InlineData("0-1 b1, 2-3 c2", null)]
    [InlineData("0-1 c2, 2-3 a1", "a")]
    [InlineData("0-1 b1, 2-3 a1, 4-5 b1", "b")]
    [InlineData("0-1 d1", "d")]
    // asked for before the newer one was there, answered after it
    [InlineData("3-4 c2, 1-4 a1", null)]
    [InlineData("3-4 c2, 1-4 a1, 5-6 b1", "b")]
    public void It_only_moves_forward_from_what_was_there_before_one_asked(string looks, string? wrong)
    {
        var pages = looks.Split(", ").Select(look => new Look(0, "slug", At(look[0]), At(look[2]), "", 200, look[4..5], look[5..], null));

        HistoryChecker.FindOutOfOrder(pages, Shown)?.Shop.ShouldBe(wrong);
        (HistoryChecker.FindOutOfOrder(pages, Shown) is null).ShouldBe(wrong is null);
    }

    private static DateTimeOffset At(char second) => DateTimeOffset.UnixEpoch.AddSeconds(second - '0');
}
