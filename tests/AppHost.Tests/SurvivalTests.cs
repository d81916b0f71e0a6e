using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

/// <summary>Processes are killed while work is under way: nothing that was accepted may be lost.</summary>
[Collection(nameof(RunningPlatform))]
public sealed class SurvivalTests(RunningPlatform platform)
{
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(60);
    private readonly PlatformClient _client = platform.Client;

    [Fact]
    public async Task Deployments_go_live_although_the_deployer_was_killed_in_the_middle()
    {
        var shops = await CreateShopsAsync(8);
        var deployments = new List<string>();
        foreach (var shop in shops)
        {
            deployments.Add(await _client.DeployAsync(shop));
        }

        // In the middle: something has been done, something has not.
        await Eventually.TrueAsync(async () => (await StatesAsync(deployments)).Contains("live"), Recovery, cancellationToken: Cancel);
        await platform.KillAsync("store-deployer");
        await platform.RestartAsync("store-deployer");

        await Task.WhenAll(deployments.Select(deployment => _client.LiveAsync(deployment, Recovery)));
    }

    [Fact]
    public async Task A_deployment_is_accepted_while_the_deployer_is_away_and_goes_live_when_it_is_back()
    {
        var shop = (await CreateShopsAsync(1)).Single();
        await platform.KillAsync("store-deployer");
        string deployment;
        try
        {
            deployment = await _client.DeployAsync(shop);
            (await _client.DeploymentAsync(deployment))["status"]!.GetValue<string>().ShouldBe("queued");
        }
        finally
        {
            await platform.RestartAsync("store-deployer");
        }

        await _client.LiveAsync(deployment, Recovery);
    }

    [Fact]
    public async Task A_deployment_goes_live_although_the_backend_was_killed_right_after_accepting_it()
    {
        var shop = (await CreateShopsAsync(1)).Single();
        var deployment = await _client.DeployAsync(shop);
        await platform.KillAsync("backend");
        await platform.RestartAsync("backend");

        await platform.AllHealthyAsync();
        await _client.LiveAsync(deployment, Recovery);
    }

    [Fact]
    public async Task Templates_are_still_offered_and_marked_stale_while_the_registry_is_away()
    {
        (await _client.Backend.GetAsync("/api/templates/aurora", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await platform.KillAsync("template-registry");
        try
        {
            await Eventually.Async(async () =>
            {
                var template = await _client.Backend.GetFromJsonAsync<JsonObject>("/api/templates/aurora", Cancel);
                template!["stale"]!.GetValue<bool>().ShouldBeTrue();
            }, Recovery, Cancel);
        }
        finally
        {
            await platform.RestartAsync("template-registry");
        }

        await platform.AllHealthyAsync();
    }

    [Fact]
    public async Task Live_stores_stay_up_while_PostgreSQL_is_stopped_and_all_recovers_when_it_is_back()
    {
        var store = await _client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug(), "Always Open"));
        (await _client.Stores.GetStringAsync(store, Cancel)).ShouldContain("Always Open");

        await platform.StopAsync("postgres");
        try
        {
            await Eventually.Async(async () =>
            {
                using var refused = await _client.Backend.GetAsync("/api/shops", Cancel);
                refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
                refused.Headers.RetryAfter.ShouldNotBeNull();
            }, Recovery, Cancel);

            (await _client.Stores.GetStringAsync(store, Cancel)).ShouldContain("Always Open");
            (await _client.Stores.GetAsync("/alive", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
            (await _client.Backend.GetAsync("/alive", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
        }
        finally
        {
            await platform.RestartAsync("postgres");
        }

        await platform.AllHealthyAsync();
        await _client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug()));
    }

    private async Task<List<string>> CreateShopsAsync(int count)
    {
        var ids = new List<string>();
        for (var i = 0; i < count; i++)
        {
            ids.Add(await _client.CreateShopAsync(PlatformClient.Shop(PlatformClient.NewSlug())));
        }

        return ids;
    }

    private async Task<List<string>> StatesAsync(IEnumerable<string> deployments)
    {
        var states = new List<string>();
        foreach (var id in deployments)
        {
            states.Add((await _client.DeploymentAsync(id))["status"]!.GetValue<string>());
        }

        return states;
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
