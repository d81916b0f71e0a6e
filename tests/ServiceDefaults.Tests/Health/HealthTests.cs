using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
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
    public async Task The_report_weighs_what_is_required(bool required, bool optional, HttpStatusCode expected, string status)
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
    public async Task A_dependency_that_hangs_does_not_hang_the_report()
    {
        await using var app = await DefaultsApp.StartAsync(_ => { }, builder =>
            builder.Services.AddDependencyCheck("black-hole", async (_, _) =>
            {
                await new TaskCompletionSource().Task;
                return true;
            }, required: false));
        var watch = Stopwatch.StartNew();
        var report = await app.Client.GetFromJsonAsync<JsonElement>("/health");
        report.GetProperty("status").GetString().ShouldBe("degraded");
        watch.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(3));
    }

    [Fact]
    public async Task Until_its_gates_are_open_a_service_is_alive_but_not_ready()
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
    public async Task When_told_to_stop_it_fails_ready_finishes_what_it_has_and_is_gone_within_4_seconds()
    {
        var entered = new TaskCompletionSource();
        var finish = new TaskCompletionSource();
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/slow", async () =>
            {
                entered.SetResult();
                await finish.Task;
                return "finished";
            }),
            environment: "Production");
        var slow = app.Client.GetAsync("/slow");
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(10));

        var watch = Stopwatch.StartNew();
        var stopped = app.App.StopAsync();
        // the port is still open for the drain delay, and says that nobody should come
        (await StatusAsync(app, "/ready")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        finish.SetResult();
        using var response = await slow;
        (await response.Content.ReadAsStringAsync()).ShouldBe("finished");
        await stopped;
        watch.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(4));
    }

    [Fact]
    public async Task A_request_that_never_ends_does_not_keep_the_process()
    {
        var entered = new TaskCompletionSource();
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/stuck", async () =>
            {
                entered.SetResult();
                await new TaskCompletionSource().Task;
            }),
            environment: "Production");
        var stuck = app.Client.GetAsync("/stuck");
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(10));
        var watch = Stopwatch.StartNew();
        await Record.ExceptionAsync(() => app.App.StopAsync());
        watch.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(4));
        await Should.ThrowAsync<HttpRequestException>(() => stuck);
    }

    private static async Task<HttpStatusCode> StatusAsync(TestApp app, string path)
    {
        using var response = await app.Client.GetAsync(path);
        return response.StatusCode;
    }
}
