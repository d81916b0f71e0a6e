using System.Net;
using System.Text.Json.Nodes;
using Platform.Backend.Tests.Console;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Status;

public sealed class StatusEndpointTests(BackendHost backend) : IClassFixture<BackendHost>
{
    [Theory]
    [InlineData("/api/status/services")]
    [InlineData("/v1/api/status/services")]
    public async Task Services_are_shown_with_their_present_state(string path)
    {
        var before = await ConnectedAsync("template-registry", "store-deployer");

        await backend.Deployer.StopAsync();
        try
        {
            var down = await ConnectedAsync("template-registry");
            var deployer = down["services"]!["store-deployer"]!;
            ((string)deployer["state"]!).ShouldBe("disconnected");
            ((string)deployer["lastError"]!).ShouldNotBeNullOrWhiteSpace();
            deployer["lastChange"]!.GetValue<DateTimeOffset>().ShouldBeGreaterThan(before["services"]!["store-deployer"]!["lastChange"]!.GetValue<DateTimeOffset>());

            var health = await (await backend.Client.GetAsync("/health")).ReadAsync(HttpStatusCode.OK);
            ((string)health["status"]!).ShouldBe("degraded");
            ((string)health["dependencies"]!["store-deployer"]!).ShouldBe("disconnected");
        }
        finally
        {
            await backend.Deployer.StartAgainAsync();
        }

        await ConnectedAsync("store-deployer");

        // A probe has a second, which a busy machine may need for something else: asked again then.
        Task<JsonObject> ConnectedAsync(params string[] services) => Eventually.Async(async () =>
        {
            var status = await (await backend.Client.GetAsync(path)).ReadAsync(HttpStatusCode.OK);
            services.ShouldAllBe(service => (string)status["services"]![service]!["state"]! == "connected");
            return status;
        });
    }

    [Fact]
    public async Task A_service_is_shown_with_its_breaker_its_retry_budget_and_the_decisions_of_failed_calls()
    {
        await backend.Registry.StopAsync();
        try
        {
            // On a slow machine the first may be given up before it has failed.
            await Eventually.Async(async () =>
            {
                using var list = await backend.Client.GetAsync("/api/templates");
                var health = await (await backend.Client.GetAsync("/health")).ReadAsync(HttpStatusCode.OK);
                health["circuitBreakers"]!["template-registry"]!["counts"]!["totalFailures"]!.GetValue<long>().ShouldBeGreaterThan(0);
            });
        }
        finally
        {
            await backend.Registry.StartAgainAsync();
        }

        var registry = (await (await backend.Client.GetAsync("/api/status/services")).ReadAsync(HttpStatusCode.OK))["services"]!["template-registry"]!;
        registry["circuitBreaker"]!["counts"]!["totalFailures"]!.GetValue<long>().ShouldBeGreaterThan(0);
        registry["fallbacks"]!.AsArray().Select(fallback => $"{fallback!["use"]}: {fallback["kind"]}").ShouldBe(
            ["publishing a template: fail-closed", "templates: fail-open", "usage statistics: best-effort"]);
        registry["fallbacks"]![1]!["used"]!.GetValue<long>().ShouldBeGreaterThan(0);
        registry["retryBudgetLeft"]!.GetValue<double>().ShouldBeInRange(0, 100);
        ((string)registry["lastError"]!).ShouldNotBeNullOrWhiteSpace();
        var calls = (await (await backend.Client.GetAsync("/api/status/calls")).ReadAsync(HttpStatusCode.OK))["calls"]!.AsArray();
        var call = calls.First(entry => (string)entry!["destination"]! == "template-registry")!;
        ((string)call["outcome"]!).ShouldNotBeNullOrWhiteSpace();
        call["decisions"]!.AsArray().Select(decision => (string)decision!).ShouldContain(decision => decision.StartsWith("send 1 failed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Calls_are_shown_to_the_caller_on_whose_behalf_they_were_made_and_to_administrators()
    {
        var (mine, others) = (await backend.MakeKeyAsync("read"), await backend.MakeKeyAsync("read"));
        using var caller = backend.Connect((string)mine["key"]!);
        using var sameOwner = backend.Connect((string)(await backend.MakeKeyAsync("read", mine["owner"]!.AsObject().Id()))["key"]!);
        using var other = backend.Connect((string)others["key"]!);
        (await caller.GetAsync("/api/templates/mine")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await other.GetAsync("/api/templates/others")).StatusCode.ShouldBe(HttpStatusCode.NotFound);

        (await CallsAsync(caller)).ShouldBe([$"GET /templates/mine for {mine["owner"]!["id"]}"]);
        (await CallsAsync(sameOwner)).ShouldBe([$"GET /templates/mine for {mine["owner"]!["id"]}"]);
        (await CallsAsync(other)).ShouldBe([$"GET /templates/others for {others["owner"]!["id"]}"]);
        var all = await CallsAsync(backend.Client);
        all.ShouldContain($"GET /templates/mine for {mine["owner"]!["id"]}");
        all.ShouldContain($"GET /templates/others for {others["owner"]!["id"]}");

        using var browser = new ConsoleBrowser(backend.Client.BaseAddress!, (string)mine["key"]!);
        await browser.OpenAsync("/resilience");
        browser.Text.ShouldContain("GET /templates/mine");
        browser.Text.ShouldNotContain("GET /templates/others");
    }

    private static async Task<IReadOnlyList<string>> CallsAsync(HttpClient client) =>
        [.. (await (await client.GetAsync("/api/status/calls")).ReadAsync(HttpStatusCode.OK))["calls"]!.AsArray().Select(call => $"{call!["request"]} for {call["caller"]}")];
}
