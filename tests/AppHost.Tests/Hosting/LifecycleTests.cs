using System.Diagnostics;
using System.Net;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Hosting;

/// <summary>How processes start, end and come back.</summary>
public sealed class LifecycleTests
{
    [Fact]
    public async Task A_resource_is_started_when_those_it_waits_for_are_healthy_and_not_before()
    {
        await using var builder = TestApplication.Create();
        var server = builder.AddServer("server").WithEnvironment("UNHEALTHY", "1").WithHttpHealthCheck("/health");
        builder.AddShell("dependent", "echo started; exec sleep 1000").WaitFor(server);
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        var start = app.StartAsync(TestApplication.Deadline());
        await app.LogUntilAsync("server", "listening");
        await app.ResourceNotifications.WaitForResourceAsync("dependent", KnownResourceStates.Waiting, TestApplication.Deadline());

        var server1 = await app.ResourceNotifications.WaitForResourceAsync("server", e => e.Snapshot.Urls.Length > 0, TestApplication.Deadline());
        using (var client = new HttpClient { BaseAddress = new Uri(server1.Snapshot.Urls[0].Url) })
        {
            (await client.GetAsync("/health", TestApplication.Deadline())).StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
            app.ResourceNotifications.TryGetCurrentState(server1.ResourceId, out var waiting).ShouldBeTrue();
            waiting!.Snapshot.HealthStatus.ShouldNotBe(Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus.Healthy);
            await client.PostAsync("/heal", null, TestApplication.Deadline());
        }

        await app.ResourceNotifications.WaitForResourceHealthyAsync("server", TestApplication.Deadline());
        await app.LogUntilAsync("dependent", "started");
        await start;
    }

    [Fact]
    public async Task Completion_is_waited_for_and_another_exit_code_than_the_expected_one_fails_the_dependent()
    {
        await using var builder = TestApplication.Create();
        var good = builder.AddShell("good", "exit 0");
        var bad = builder.AddShell("bad", "exit 3");
        builder.AddShell("after-good", "echo started; exec sleep 1000").WaitForCompletion(good);
        builder.AddShell("after-bad", "echo started; exec sleep 1000").WaitForCompletion(bad);
        builder.AddShell("after-expected", "echo started; exec sleep 1000").WaitForCompletion(bad, exitCode: 3);
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());

        await app.LogUntilAsync("after-good", "started");
        await app.LogUntilAsync("after-expected", "started");
        await app.ResourceNotifications.WaitForResourceAsync("after-bad", KnownResourceStates.FailedToStart, TestApplication.Deadline());
        var ended = await app.ResourceNotifications.WaitForResourceAsync("bad", e => e.Snapshot.ExitCode is not null, TestApplication.Deadline());
        ended.Snapshot.ExitCode.ShouldBe(3);
    }

    [Fact]
    public async Task A_program_that_does_not_exist_fails_to_start_and_takes_nothing_else_along()
    {
        await using var builder = TestApplication.Create();
        builder.AddExecutable("missing", "/no/such/program", ".");
        builder.AddShell("there", "echo started; exec sleep 1000");
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());

        await app.ResourceNotifications.WaitForResourceAsync("missing", KnownResourceStates.FailedToStart, TestApplication.Deadline());
        await app.LogUntilAsync("there", "started");
        await Should.ThrowAsync<DistributedApplicationException>(() =>
            app.ResourceNotifications.WaitForResourceHealthyAsync("missing", WaitBehavior.StopOnResourceUnavailable, TestApplication.Deadline()));
    }

    [Fact]
    public async Task A_stopped_and_started_resource_is_another_process_at_the_same_address()
    {
        await using var builder = TestApplication.Create();
        builder.AddServer("server").WithHttpHealthCheck("/health");
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());
        var running = await app.ResourceNotifications.WaitForResourceHealthyAsync("server", TestApplication.Deadline());
        var (address, pid) = (app.GetEndpoint("server"), await app.PidAsync("server"));

        (await app.ResourceCommands.ExecuteCommandAsync(running.Resource, "stop", TestApplication.Deadline())).Success.ShouldBeTrue();
        await app.ResourceNotifications.WaitForResourceAsync("server", KnownResourceStates.TerminalStates, TestApplication.Deadline());
        TestApplication.IsAlive(pid).ShouldBeFalse();

        (await app.ResourceCommands.ExecuteCommandAsync(running.Resource, "start", TestApplication.Deadline())).Success.ShouldBeTrue();
        // how it ended before may be seen for a moment longer
        await app.ResourceNotifications.WaitForResourceHealthyAsync("server", WaitBehavior.WaitOnResourceUnavailable, TestApplication.Deadline());
        (await app.PidAsync("server")).ShouldNotBe(pid);
        app.GetEndpoint("server").ShouldBe(address);
        using var client = app.CreateHttpClient("server");
        (await client.GetAsync("/", TestApplication.Deadline())).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_killed_process_shows_as_ended_and_can_be_started_again()
    {
        await using var builder = TestApplication.Create();
        builder.AddServer("server").WithHttpHealthCheck("/health");
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());
        var running = await app.ResourceNotifications.WaitForResourceHealthyAsync("server", TestApplication.Deadline());
        var pid = await app.PidAsync("server");

        using (var process = Process.GetProcessById(pid))
            process.Kill();
        await app.ResourceNotifications.WaitForResourceAsync("server", KnownResourceStates.TerminalStates, TestApplication.Deadline());
        app.ResourceNotifications.TryGetCurrentState(running.ResourceId, out var ended).ShouldBeTrue();
        ended!.Snapshot.HealthStatus.ShouldBeNull();

        (await app.ResourceCommands.ExecuteCommandAsync(running.ResourceId, "start", TestApplication.Deadline())).Success.ShouldBeTrue();
        // how it ended before may be seen for a moment longer
        await app.ResourceNotifications.WaitForResourceHealthyAsync("server", WaitBehavior.WaitOnResourceUnavailable, TestApplication.Deadline());
        (await app.PidAsync("server")).ShouldNotBe(pid);
    }

    [Fact]
    public async Task An_application_that_is_disposed_leaves_no_process_behind()
    {
        await using var builder = TestApplication.Create();
        builder.AddShell("stubborn", "trap '' HUP INT; echo started; while true; do sleep 0.1; done");
        builder.AddServer("server");
        int[] pids;
        await using (var app = await builder.BuildAsync(TestApplication.Deadline()))
        {
            await app.StartAsync(TestApplication.Deadline());
            await app.LogUntilAsync("stubborn", "started");
            pids = [await app.PidAsync("stubborn"), await app.PidAsync("server")];
            pids.ShouldAllBe(pid => TestApplication.IsAlive(pid));
        }

        await Eventually.TrueAsync(() => !pids.Any(TestApplication.IsAlive));
    }

    [Fact]
    public async Task Output_is_kept_line_by_line_with_errors_marked()
    {
        await using var builder = TestApplication.Create();
        builder.AddShell("shell", "echo one; echo two; echo oops >&2; exec sleep 1000");
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());
        await app.LogUntilAsync("shell", "two");

        var lines = await app.LogUntilAsync("shell", "oops");

        lines.Single(l => l.Content.Contains("oops", StringComparison.Ordinal)).IsErrorMessage.ShouldBeTrue();
        var output = lines.Where(l => !l.IsErrorMessage).Select(l => l.Content.Split(' ')[^1]).ToList();
        output.IndexOf("one").ShouldBeLessThan(output.IndexOf("two"));
    }
}
