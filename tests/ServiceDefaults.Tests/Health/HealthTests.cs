using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Health;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Health;

public sealed class HealthTests
{
    [Theory]
    [InlineData(true, true, HttpStatusCode.OK, "healthy")]
    [InlineData(true, false, HttpStatusCode.OK, "degraded")]
    [InlineData(false, true, HttpStatusCode.ServiceUnavailable, "unhealthy")]
    [InlineData(false, false, HttpStatusCode.ServiceUnavailable, "unhealthy")]
    public async Task The_status_depends_on_which_dependencies_are_required(bool required, bool optional, HttpStatusCode expected, string status)
    {
        await using var app = await DefaultsApp.StartAsync(_ => { }, builder =>
        {
            builder.Services.AddDependencyCheck("database", (_, _) => Task.FromResult(required), required: true);
            builder.Services.AddDependencyCheck("registry", (_, _) => optional ? Task.FromResult(true) : throw new HttpRequestException("refused"), required: false);
        });
        using var response = await app.Client.GetAsync("/health");
        response.StatusCode.ShouldBe(expected);
        var report = await response.Content.ReadFromJsonAsync<JsonElement>();
        report.GetProperty("status").GetString().ShouldBe(status);
        report.GetProperty("timestamp").GetDateTimeOffset().Offset.ShouldBe(TimeSpan.Zero);
        report.GetProperty("dependencies").GetProperty("database").GetString().ShouldBe(required ? "connected" : "disconnected");
        report.GetProperty("dependencies").GetProperty("registry").GetString().ShouldBe(optional ? "connected" : "disconnected");
        report.GetProperty("circuitBreakers").ValueKind.ShouldBe(JsonValueKind.Object);
    }

    [Fact]
    public async Task A_dependency_that_hangs_is_disconnected_after_a_second()
    {
        var time = new ObservableTimeProvider();
        await using var app = await DefaultsApp.StartAsync(_ => { }, builder =>
        {
            builder.Services.AddSingleton<TimeProvider>(time);
            builder.Services.AddDependencyCheck("black-hole", async (_, _) =>
            {
                await new TaskCompletionSource().Task;
                return true;
            }, required: false);
        });
        var asking = app.Client.GetFromJsonAsync<JsonElement>("/health");
        await time.TimerAsync(TimeSpan.FromSeconds(1));
        asking.IsCompleted.ShouldBeFalse();

        time.Advance(TimeSpan.FromSeconds(1));

        (await asking).GetProperty("status").GetString().ShouldBe("degraded");
    }

    [Fact]
    public async Task A_service_with_a_closed_readiness_gate_is_alive_but_not_ready()
    {
        ReadinessGate gate = null!;
        await using var app = await DefaultsApp.StartAsync(
            app =>
            {
                app.MapGet("/work", () => "done");
                app.MapGet("/cached", () => "cached").AvailableBeforeReady();
            },
            builder => gate = builder.Services.AddReadinessGate("migrations"));

        (await StatusAsync(app, "/alive")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync(app, "/ready")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        (await StatusAsync(app, "/health")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        (await StatusAsync(app, "/cached")).ShouldBe(HttpStatusCode.OK);
        using var early = await app.Client.GetAsync("/work");
        early.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        early.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
        (await early.ReadProblemAsync()).GetProperty("detail").GetString()!.ShouldContain("migrations");

        gate.MarkReady();
        (await StatusAsync(app, "/ready")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync(app, "/health")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync(app, "/work")).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_stopping_service_fails_its_readiness_for_half_a_second_and_finishes_requests_in_flight()
    {
        var time = new ObservableTimeProvider();
        var entered = new TaskCompletionSource();
        var finish = new TaskCompletionSource();
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/slow", async () =>
            {
                entered.SetResult();
                await finish.Task;
                return "finished";
            }),
            builder => builder.Services.AddSingleton<TimeProvider>(time),
            environment: "Production");
        var slow = app.Client.GetAsync("/slow");
        await entered.Task;

        var stopped = app.App.StopAsync();
        await time.TimerAsync(TimeSpan.FromMilliseconds(500));
        // The port stays open during the drain delay, so that load balancers see the failing readiness.
        (await StatusAsync(app, "/ready")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        finish.SetResult();
        using var response = await slow;
        (await response.Content.ReadAsStringAsync()).ShouldBe("finished");
        stopped.IsCompleted.ShouldBeFalse();

        time.Advance(TimeSpan.FromMilliseconds(500));

        await stopped;
    }

    [Fact]
    public async Task The_drain_delay_and_the_shutdown_timeout_leave_a_second_to_cut_connections_off_within_4_seconds()
    {
        await using var app = await DefaultsApp.StartAsync(_ => { }, environment: "Production");
        var shutdown = app.Get<IOptions<HostOptions>>().Value;
        // The host's timeout includes the drain delay; Kestrel takes up to another second.
        shutdown.ShutdownTimeout.ShouldBeLessThanOrEqualTo(TimeSpan.FromSeconds(3));
        shutdown.ServicesStopConcurrently.ShouldBeTrue();
        app.Get<IOptions<ShutdownOptions>>().Value.DrainDelay.ShouldBeLessThan(shutdown.ShutdownTimeout);
    }

    [Fact]
    public async Task A_request_that_never_ends_is_cut_off_when_the_service_stops()
    {
        var entered = new TaskCompletionSource();
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/stuck", async () =>
            {
                entered.SetResult();
                await new TaskCompletionSource().Task;
            }),
            builder => builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromMilliseconds(1)),
            new() { ["Shutdown:DrainDelay"] = "00:00:00" },
            environment: "Production");
        var stuck = app.Client.GetAsync("/stuck");
        await entered.Task;
        await Record.ExceptionAsync(() => app.App.StopAsync());
        await Should.ThrowAsync<HttpRequestException>(() => stuck);
    }

    private static async Task<HttpStatusCode> StatusAsync(TestApp app, string path)
    {
        using var response = await app.Client.GetAsync(path);
        return response.StatusCode;
    }
}
