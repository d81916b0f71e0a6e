using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Aspire.Hosting;
using Aspire.Hosting.Testing;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

/// <summary>What a person does with the platform, over its public HTTP interface.</summary>
public sealed class PlatformClient(DistributedApplication app, string key)
{
    private static readonly string[] FinalStates = ["live", "failed", "superseded", "cancelled"];

    public HttpClient Backend { get; } = WithKey(app.CreateHttpClient("backend"), key);

    public HttpClient Stores { get; } = app.CreateHttpClient("store-deployer");

    public static string NewSlug() => $"shop-{Guid.NewGuid():N}"[..20];

    public static JsonObject Shop(string slug, string name = "Corner Shop") => new()
    {
        ["slug"] = slug,
        ["name"] = name,
        ["template"] = new JsonObject { ["name"] = "aurora" },
        ["settings"] = new JsonObject(),
        ["products"] = new JsonArray(
            new JsonObject { ["sku"] = "tea-01", ["name"] = "Green tea", ["description"] = "First flush.", ["price"] = 12.5m, ["currency"] = "EUR" },
            new JsonObject { ["sku"] = "mug-02", ["name"] = "Stoneware mug", ["price"] = 18m, ["currency"] = "EUR" }),
    };

    /// <summary>Creates a shop and returns its id.</summary>
    public async Task<string> CreateShopAsync(JsonObject shop)
    {
        using var response = await Backend.PostAsJsonAsync("/api/shops", shop, Cancel);
        response.StatusCode.ShouldBe(HttpStatusCode.Created, await response.Content.ReadAsStringAsync(Cancel));
        return (await ReadAsync(response))["id"]!.GetValue<string>();
    }

    /// <summary>Asks for a deployment and returns its id; the answer is an acceptance, not a result.</summary>
    public async Task<string> DeployAsync(string shopId)
    {
        using var response = await Backend.PostAsync($"/api/shops/{shopId}/deployments", content: null, Cancel);
        response.StatusCode.ShouldBe(HttpStatusCode.Accepted, await response.Content.ReadAsStringAsync(Cancel));
        return (await ReadAsync(response))["id"]!.GetValue<string>();
    }

    public async Task<JsonObject> DeploymentAsync(string id) =>
        (await Backend.GetFromJsonAsync<JsonObject>($"/api/deployments/{id}", Cancel))!;

    /// <summary>Waits until the deployment is live and returns it; another final state is a failure at once.</summary>
    public async Task<JsonObject> LiveAsync(string deploymentId, TimeSpan? within = null)
    {
        var deployment = await Eventually.Async(async () =>
        {
            var current = await DeploymentAsync(deploymentId);
            FinalStates.ShouldContain(current["status"]!.GetValue<string>(), current.ToJsonString());
            return current;
        }, within ?? TimeSpan.FromSeconds(60), Cancel);
        deployment["status"]!.GetValue<string>().ShouldBe("live", deployment.ToJsonString());
        return deployment;
    }

    /// <summary>Creates a shop, deploys it and waits until it is live; returns the address of the store.</summary>
    public async Task<Uri> TakeLiveAsync(JsonObject shop)
    {
        var deployment = await LiveAsync(await DeployAsync(await CreateShopAsync(shop)));
        return new Uri(deployment["url"]!.GetValue<string>());
    }

    public static async Task<JsonObject> ReadAsync(HttpResponseMessage response) =>
        (await response.Content.ReadFromJsonAsync<JsonObject>(Cancel))!;

    private static HttpClient WithKey(HttpClient client, string key)
    {
        client.DefaultRequestHeaders.Authorization = new("Bearer", key);
        return client;
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
