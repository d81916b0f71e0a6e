using System.Net;
using System.Net.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using Platform.ServiceDefaults.Communication;
using Platform.TestSupport;

namespace Platform.Backend.Tests;

public sealed class DatabaseDownTests
{
    [Fact]
    public async Task Without_its_database_backend_answers_503_without_trying_to_connect_each_time_and_recovers_by_itself()
    {
        await using var server = await PostgresServer.StartNewAsync();
        await using var backend = new BackendHost(server);
        backend.Set("Services:database:CircuitBreaker:BreakDuration", "00:05:00");
        await backend.InitializeAsync();
        var shop = await backend.CreateShopAsync();
        await server.StopAsync();

        foreach (var call in new Func<Task<HttpResponseMessage>>[]
        {
            () => backend.Client.GetAsync("/api/shops"),
            () => backend.Client.GetAsync($"/api/shops/{shop.Id()}"),
            () => backend.Client.PostAsJsonAsync("/api/shops", BackendHost.NewShop()),
            () => backend.Client.PostAsync($"/api/shops/{shop.Id()}/deployments", null),
            () => backend.Client.GetAsync($"/api/deployments/{Guid.NewGuid()}/events"),
        })
        {
            using var response = await call();
            await response.ShouldSayThatTheDatabaseIsUnavailableAsync();
        }

        var breaker = backend.Services.GetRequiredService<Destinations>()["database"].Breaker.Snapshot();
        breaker.State.ShouldBe(CircuitState.Open);
        breaker.Counts.Rejected.ShouldBeGreaterThan(0);

        (await backend.Client.GetAsync("/alive")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await backend.Client.GetAsync("/api/templates")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await backend.Client.GetAsync("/health")).ReadAsync(HttpStatusCode.ServiceUnavailable);

        await server.StartAsync();
        await Eventually.Async(() => backend.DeployAsync(shop));
        await backend.Deployer.MessageAsync(shop.Id(), "deployment.requested");
    }
}
