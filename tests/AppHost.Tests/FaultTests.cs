using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

/// <summary>Both ends of an edge are well, and what is between them is not.</summary>
[Collection(nameof(RunningPlatform))]
public sealed class FaultTests(RunningPlatform platform)
{
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(60);
    private readonly PlatformClient _client = platform.Client;

    [Fact]
    public void Every_edge_of_the_platform_has_its_proxy()
    {
        string[] edges =
        [
            "backend → postgres", "backend → store-deployer", "backend → template-registry",
            "store-deployer → backend", "store-deployer → postgres", "store-deployer → template-registry",
            "template-registry → postgres",
        ];
        foreach (var edge in edges)
        {
            platform.App.Edges().Single(known => known.Name == edge).Proxies.ShouldNotBeEmpty(edge);
        }
    }

    [Fact]
    public async Task Templates_are_stale_while_the_way_to_the_registry_is_a_black_hole()
    {
        (await _client.Backend.GetAsync("/api/templates/aurora", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await platform.App.Fault("backend", "template-registry").BlackHole().DuringAsync(() => Eventually.Async(async () =>
        {
            var template = await _client.Backend.GetFromJsonAsync<JsonObject>("/api/templates/aurora", Cancel);
            template!["stale"]!.GetValue<bool>().ShouldBeTrue();
        }, Recovery, Cancel));

        await platform.AllHealthyAsync();
    }

    [Fact]
    public async Task A_deployment_waits_while_the_deployer_is_refused_by_its_database_and_live_stores_stay_up()
    {
        var store = await _client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug(), "Always Open"));
        (await _client.Stores.GetStringAsync(store, Cancel)).ShouldContain("Always Open");
        var shop = await _client.CreateShopAsync(PlatformClient.Shop(PlatformClient.NewSlug()));

        var deployment = "";
        await platform.App.Fault("store-deployer", "postgres").Refuse().DuringAsync(async () =>
        {
            deployment = await _client.DeployAsync(shop);
            await Eventually.Async(async () =>
            {
                var report = await platform.HealthAsync("store-deployer");
                report["status"]!.GetValue<string>().ShouldNotBe("healthy", report.ToJsonString());
            }, Recovery, Cancel);
            (await _client.Stores.GetStringAsync(store, Cancel)).ShouldContain("Always Open");
            (await _client.DeploymentAsync(deployment))["status"]!.GetValue<string>().ShouldBe("queued");
        });

        await _client.LiveAsync(deployment, Recovery);
        await platform.AllHealthyAsync();
    }

    [Fact]
    public async Task A_service_that_is_broken_from_the_dashboard_is_seen_so_in_the_console_until_it_is_healed()
    {
        (await _client.Backend.GetAsync("/api/templates", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await platform.CommandAsync("template-registry", "break");
        try
        {
            // who has the page open sees it, and need not do anything else
            await Eventually.Async(async () =>
            {
                var page = await _client.Backend.GetStringAsync("/resilience", Cancel);
                page.ShouldContain(">Open<");
                page.ShouldContain("templates as of");
            }, Recovery, Cancel);
            (await _client.Backend.GetAsync("/templates", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
            (await StatesAsync())["template-registry"].ShouldBe("open");
        }
        finally
        {
            await platform.CommandAsync("template-registry", "heal");
        }

        await Eventually.Async(async () =>
        {
            (await _client.Backend.GetFromJsonAsync<JsonObject>("/api/templates/aurora", Cancel))!["stale"]!.GetValue<bool>().ShouldBeFalse();
            (await StatesAsync())["template-registry"].ShouldBe("closed");
        }, Recovery, Cancel);
        await platform.AllHealthyAsync();

        async Task<Dictionary<string, string>> StatesAsync()
        {
            var status = await _client.Backend.GetFromJsonAsync<JsonObject>("/api/status/services", Cancel);
            return status!["services"]!.AsObject().ToDictionary(service => service.Key, service => service.Value!["circuitBreaker"]!["state"]!.GetValue<string>());
        }
    }

    [Fact]
    public async Task A_service_that_is_slow_is_waited_for_or_done_without_and_never_for_long()
    {
        (await _client.Backend.GetAsync("/api/templates", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await platform.CommandAsync("template-registry", "slow");
        try
        {
            await Eventually.Async(async () =>
            {
                using var response = await _client.Backend.GetAsync("/api/templates", Cancel);
                response.StatusCode.ShouldBe(HttpStatusCode.OK);
                response.Headers.Age.ShouldNotBeNull().ShouldBeGreaterThan(TimeSpan.Zero);
            }, Recovery, Cancel);
        }
        finally
        {
            await platform.CommandAsync("template-registry", "heal");
        }

        await platform.AllHealthyAsync();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
