using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class RetryBudgetTests
{
    private readonly RetryBudgetOptions _options = new();
    private readonly RetryBudget _budget;

    public RetryBudgetTests() => _budget = new(() => _options);

    [Fact]
    public void Starts_with_the_reserve_and_then_refuses()
    {
        Enumerable.Range(0, 11).Count(_ => _budget.TryTake()).ShouldBe(10);
    }

    [Fact]
    public void Ten_successes_earn_one_retry()
    {
        Drain();

        Earn(9);
        _budget.TryTake().ShouldBeFalse();
        Earn(1);
        _budget.TryTake().ShouldBeTrue();
        _budget.TryTake().ShouldBeFalse();
    }

    [Fact]
    public void Saves_no_more_than_the_limit()
    {
        Earn(100_000);

        _budget.Left.ShouldBe(100);
    }

    [Fact]
    public async Task Threads_together_take_exactly_what_there_is()
    {
        _options.MaxSaved = 1000;
        Earn(9_900);

        var taken = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => Enumerable.Range(0, 500).Count(_ => _budget.TryTake()))));

        taken.Sum().ShouldBe(1000);
    }

    private void Drain()
    {
        while (_budget.TryTake())
        {
        }
    }

    private void Earn(int successes)
    {
        for (var i = 0; i < successes; i++)
        {
            _budget.Earn();
        }
    }
}
