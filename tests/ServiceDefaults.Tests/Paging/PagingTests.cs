using Platform.ServiceDefaults.Paging;

namespace Platform.ServiceDefaults.Tests.Paging;

public sealed class PagingTests
{
    [Fact]
    public void A_full_page_points_to_the_next_and_the_last_one_does_not()
    {
        var ids = Enumerable.Range(1, 5).ToArray();
        var first = Page.Of(ids[..4], 3, id => id);
        first.Items.ShouldBe([1, 2, 3]);
        new PageQuery(first.NextCursor, 3).TryRead<int>(out var after, out _, out _).ShouldBeTrue();
        after.ShouldBe(3);
        Page.Of(ids[3..], 3, id => id).NextCursor.ShouldBeNull();
        Page.Of(ids[..3], 3, id => id).NextCursor.ShouldBeNull();
    }

    [Fact]
    public void Composite_keys_come_back_as_they_were()
    {
        var key = new Key(DateTimeOffset.UnixEpoch.AddTicks(1234567), Guid.CreateVersion7());
        Cursor.TryDecode<Key>(Cursor.Encode(key), out var read).ShouldBeTrue();
        read.ShouldBe(key);
    }

    [Theory]
    [InlineData(null, 20)]
    [InlineData(1, 1)]
    [InlineData(100, 100)]
    public void The_limit_has_a_default(int? given, int expected)
    {
        new PageQuery(null, given).TryRead<Guid?>(out var after, out var limit, out _).ShouldBeTrue();
        limit.ShouldBe(expected);
        after.ShouldBeNull();
    }

    [Theory]
    [InlineData("###", 20, "cursor")]
    [InlineData("e30", 20, "cursor")]
    [InlineData("IjEyIg", 20, "cursor")]
    [InlineData(null, 0, "limit")]
    [InlineData(null, 101, "limit")]
    [InlineData(null, -5, "limit")]
    public void What_is_wrong_is_named(string? cursor, int limit, string field)
    {
        new PageQuery(cursor, limit).TryRead<Guid?>(out _, out _, out var problem).ShouldBeFalse();
        problem.ProblemDetails.Errors.Keys.ShouldBe([field]);
    }

    private sealed record Key(DateTimeOffset At, Guid Id);
}
