using Microsoft.Extensions.Time.Testing;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class CircuitBreakerTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly CircuitBreakerOptions _options = new();
    private readonly CircuitBreaker _breaker;

    public CircuitBreakerTests() => _breaker = new(() => _options, _time);

    [Fact]
    public void Opens_when_as_many_calls_in_a_row_failed_as_a_sample_needs_and_not_before()
    {
        Calls(successes: 0, failures: 19);

        _breaker.State.ShouldBe(CircuitState.Closed);
        Calls(successes: 0, failures: 1);
        _breaker.State.ShouldBe(CircuitState.Open);
    }

    [Theory]
    [InlineData(11, 9, CircuitState.Closed)]
    [InlineData(10, 10, CircuitState.Open)]
    public void Opens_when_the_ratio_is_reached(int successes, int failures, CircuitState expected)
    {
        Calls(successes, failures - 1);
        _time.Advance(_options.SamplingDuration / 10);
        Calls(successes: 0, failures: 1);

        _breaker.State.ShouldBe(expected);
    }

    [Fact]
    public void Judges_the_ratio_once_in_a_tenth_of_the_window_so_that_chance_does_not_open_it()
    {
        Calls(successes: 10, failures: 15);
        _breaker.State.ShouldBe(CircuitState.Closed);
        Calls(successes: 20, failures: 5);

        _time.Advance(_options.SamplingDuration / 10);
        Calls(successes: 0, failures: 1);

        _breaker.State.ShouldBe(CircuitState.Closed);
    }

    [Fact]
    public void Forgets_what_left_the_sampling_window()
    {
        Calls(successes: 0, failures: 19);
        _time.Advance(_options.SamplingDuration);
        Calls(successes: 0, failures: 19);

        _breaker.State.ShouldBe(CircuitState.Closed);
    }

    [Fact]
    public void Opens_after_five_connection_failures_in_a_row_without_waiting_for_a_sample()
    {
        for (var i = 0; i < 4; i++)
        {
            Pass().Failed("connection refused", neverConnected: true);
        }

        Pass().Succeeded();
        for (var i = 0; i < 4; i++)
        {
            Pass().Failed("connection refused", neverConnected: true);
        }

        _breaker.State.ShouldBe(CircuitState.Closed);
        Pass().Failed("connection refused", neverConnected: true);
        _breaker.State.ShouldBe(CircuitState.Open);
        _breaker.Snapshot().LastError.ShouldBe("connection refused");
    }

    [Fact]
    public void Refuses_while_open_and_says_how_long()
    {
        Open();
        _time.Advance(TimeSpan.FromSeconds(10));

        _breaker.TryPass(out _, out var retryAfter).ShouldBeFalse();

        retryAfter.ShouldBe(TimeSpan.FromSeconds(20));
        _breaker.Snapshot().Counts.Rejected.ShouldBe(1);
    }

    [Fact]
    public void Lets_one_trial_through_after_the_break_and_closes_when_it_succeeds()
    {
        Open();
        _time.Advance(_options.BreakDuration);

        var trial = Pass();
        _breaker.State.ShouldBe(CircuitState.HalfOpen);
        _breaker.TryPass(out _, out _).ShouldBeFalse();
        trial.Succeeded();

        _breaker.State.ShouldBe(CircuitState.Closed);
        _breaker.Snapshot().FailureRatio.ShouldBe(0);
    }

    [Fact]
    public void Opens_again_for_the_whole_break_when_the_trial_fails()
    {
        Open();
        _time.Advance(_options.BreakDuration);
        Pass().Failed("still down");

        _breaker.State.ShouldBe(CircuitState.Open);
        _breaker.TryPass(out _, out var retryAfter).ShouldBeFalse();
        retryAfter.ShouldBe(_options.BreakDuration);
    }

    [Fact]
    public void A_trial_whose_caller_hangs_up_leaves_its_place_to_the_next()
    {
        Open();
        _breaker.ProbeSucceeded();
        Pass().Inconclusive();

        _breaker.State.ShouldBe(CircuitState.HalfOpen);
        Pass().Succeeded();
        _breaker.State.ShouldBe(CircuitState.Closed);
    }

    [Fact]
    public void Half_opens_at_once_when_the_probe_is_answered()
    {
        Open();

        _breaker.ProbeSucceeded();

        _breaker.State.ShouldBe(CircuitState.HalfOpen);
    }

    [Fact]
    public void A_slow_call_from_before_the_break_decides_nothing_after_it()
    {
        var slow = Pass();
        var slower = Pass();
        Open();
        _breaker.ProbeSucceeded();

        slow.Succeeded();
        _breaker.State.ShouldBe(CircuitState.HalfOpen);
        slower.Failed("timed out");
        _breaker.State.ShouldBe(CircuitState.HalfOpen);
        Pass().Succeeded();
        _breaker.State.ShouldBe(CircuitState.Closed);
    }

    [Fact]
    public void Reloaded_thresholds_take_effect_at_once_and_reset_nothing()
    {
        Open();

        _options.BreakDuration = TimeSpan.FromSeconds(60);
        _time.Advance(TimeSpan.FromSeconds(30));

        _breaker.TryPass(out _, out var retryAfter).ShouldBeFalse();
        retryAfter.ShouldBe(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public void Opens_at_once_when_it_is_tripped_unless_it_is_switched_off()
    {
        _options.Enabled = false;
        _breaker.Trip("no sign of life");
        _breaker.State.ShouldBe(CircuitState.Closed);

        _options.Enabled = true;
        _breaker.Trip("no sign of life");

        _breaker.State.ShouldBe(CircuitState.Open);
        _breaker.Snapshot().LastError.ShouldBe("no sign of life");
    }

    [Fact]
    public void Switched_off_it_counts_and_never_refuses()
    {
        _options.Enabled = false;

        Calls(successes: 0, failures: 100);

        _breaker.State.ShouldBe(CircuitState.Closed);
        _breaker.Snapshot().Counts.TotalFailures.ShouldBe(100);
    }

    [Fact]
    public void Tells_of_each_change_once_with_the_reason()
    {
        var changes = new List<CircuitTransition>();
        _breaker.Subscribe(changes.Add);

        Open();
        _breaker.ProbeSucceeded();
        Pass().Succeeded();

        changes.Select(c => (c.From, c.To)).ShouldBe(
        [
            (CircuitState.Closed, CircuitState.Open), (CircuitState.Open, CircuitState.HalfOpen), (CircuitState.HalfOpen, CircuitState.Closed),
        ]);
        changes[0].Reason.ShouldBe("20 calls in a row failed");
    }

    [Fact]
    public async Task Only_one_of_many_threads_gets_the_trial()
    {
        Open();
        _breaker.ProbeSucceeded();

        var passed = await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => Task.Run(() => _breaker.TryPass(out var _, out var _))));

        passed.Count(p => p).ShouldBe(1);
    }

    private void Open() => Calls(successes: 0, failures: _options.MinimumThroughput);

    private CircuitPass Pass()
    {
        _breaker.TryPass(out var pass, out _).ShouldBeTrue();
        return pass;
    }

    private void Calls(int successes, int failures)
    {
        for (var i = 0; i < successes; i++)
        {
            Pass().Succeeded();
        }

        for (var i = 0; i < failures; i++)
        {
            Pass().Failed("503");
        }
    }
}
