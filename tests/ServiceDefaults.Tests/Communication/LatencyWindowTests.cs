using Microsoft.AspNetCore.Http;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class LatencyWindowTests
{
    [Fact]
    public void Percentiles_are_of_the_last_256_calls_by_nearest_rank()
    {
        var window = new LatencyWindow();
        window.Report().ShouldBeNull();

        window.Add(TimeSpan.FromMilliseconds(7));
        window.Report().ShouldBe(new LatencyReport(7, 7, 1));

        for (var n = 1; n <= 300; n++)
            window.Add(TimeSpan.FromMilliseconds(n));
        // 45 to 300: the 128th and the 244th of them
        window.Report().ShouldBe(new LatencyReport(172, 288, 256));
    }

    [Fact]
    public async Task What_the_breaker_refuses_says_nothing_about_how_long_calls_take()
    {
        await using var caller = await Caller.StartAsync(context =>
        {
            context.Response.StatusCode = StatusCodes.Status200OK;
            return Task.CompletedTask;
        }, []);
        (await caller.Client.GetAsync("/", TestContext.Current.CancellationToken)).Dispose();
        caller.Destination.Latency.Report()!.Calls.ShouldBe(1);

        caller.Destination.Breaker.Trip("for the test");
        using var refused = await caller.Client.GetAsync("/", TestContext.Current.CancellationToken);

        ((int)refused.StatusCode).ShouldBe(503);
        caller.Destination.Latency.Report()!.Calls.ShouldBe(1);
    }
}
