using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using AngleSharp;
using AngleSharp.Dom;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

[Collection(nameof(RunningPlatform))]
public sealed class GoingLiveTests(RunningPlatform platform)
{
    private readonly PlatformClient _client = platform.Client;

    [Fact]
    public async Task A_shop_made_from_the_built_in_template_goes_live_with_its_name_and_products()
    {
        var slug = PlatformClient.NewSlug();
        var store = await _client.TakeLiveAsync(PlatformClient.Shop(slug, "Café Nord & Søn"));

        store.AbsolutePath.ShouldBe($"/stores/{slug}/");
        using var page = await OpenAsync(store);
        page.Body!.TextContent.ShouldContain("Café Nord & Søn");
        page.Body.TextContent.ShouldContain("Green tea");
        page.Body.TextContent.ShouldContain("Stoneware mug");
        page.Body.TextContent.ShouldContain("12.50");
    }

    [Fact]
    public async Task Every_local_link_and_asset_of_a_store_resolves()
    {
        var store = await _client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug()));

        var seen = new HashSet<Uri>();
        var pages = new Queue<Uri>([store]);
        while (pages.TryDequeue(out var address))
        {
            using var page = await OpenAsync(address);
            foreach (var target in page.All
                .Select(element => element.GetAttribute("href") ?? element.GetAttribute("src"))
                .Where(value => !string.IsNullOrEmpty(value) && !value.StartsWith('#') && !value.StartsWith("data:", StringComparison.Ordinal))
                .Select(value => new Uri(address, value!.Split('#')[0]))
                .Where(target => target.Authority == store.Authority && seen.Add(target)))
            {
                using var response = await _client.Stores.GetAsync(target, Cancel);
                response.StatusCode.ShouldBe(HttpStatusCode.OK, $"{target} on {address}");
                if (response.Content.Headers.ContentType?.MediaType == "text/html")
                {
                    pages.Enqueue(target);
                }
            }
        }

        seen.Count(target => target.AbsolutePath.Contains("/products/", StringComparison.Ordinal)).ShouldBe(2);
        seen.ShouldContain(target => target.AbsolutePath.EndsWith(".css", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_page_is_revalidated_by_its_tag_and_an_asset_is_immutable()
    {
        var store = await _client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug()));

        using var first = await _client.Stores.GetAsync(store, Cancel);
        using var again = new HttpRequestMessage(HttpMethod.Get, store);
        again.Headers.IfNoneMatch.Add(first.Headers.ETag.ShouldNotBeNull());
        using var second = await _client.Stores.SendAsync(again, Cancel);
        second.StatusCode.ShouldBe(HttpStatusCode.NotModified);

        using var page = await OpenAsync(store);
        var css = page.QuerySelector("link[rel=stylesheet]")!.GetAttribute("href")!;
        using var asset = await _client.Stores.GetAsync(new Uri(store, css), Cancel);
        asset.Content.Headers.ContentType!.MediaType.ShouldBe("text/css");
        asset.Headers.CacheControl.ShouldNotBeNull().ToString().ShouldContain("immutable");
    }

    [Fact]
    public async Task An_unknown_page_shows_the_stores_own_404_page()
    {
        var store = await _client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug(), "Lost and Found"));

        using var response = await _client.Stores.GetAsync(new Uri(store, "no/such/page"), Cancel);
        response.StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await response.Content.ReadAsStringAsync(Cancel)).ShouldContain("Lost and Found");
    }

    [Fact]
    public async Task A_changed_shop_shows_its_change_after_the_next_deployment_and_not_before()
    {
        var slug = PlatformClient.NewSlug();
        var shop = PlatformClient.Shop(slug, "Old Name");
        var id = await _client.CreateShopAsync(shop);
        var store = new Uri((await _client.LiveAsync(await _client.DeployAsync(id)))["url"]!.GetValue<string>());

        using var current = await _client.Backend.GetAsync($"/api/shops/{id}", Cancel);
        shop["name"] = "New Name";
        using var put = new HttpRequestMessage(HttpMethod.Put, $"/api/shops/{id}") { Content = JsonContent.Create(shop) };
        put.Headers.IfMatch.Add(current.Headers.ETag.ShouldNotBeNull());
        using var changed = await _client.Backend.SendAsync(put, Cancel);
        changed.StatusCode.ShouldBe(HttpStatusCode.OK, await changed.Content.ReadAsStringAsync(Cancel));

        (await _client.Stores.GetStringAsync(store, Cancel)).ShouldContain("Old Name");
        await _client.LiveAsync(await _client.DeployAsync(id));
        (await _client.Stores.GetStringAsync(store, Cancel)).ShouldContain("New Name");
    }

    [Fact]
    public async Task A_deleted_shop_loses_its_store()
    {
        var id = await _client.CreateShopAsync(PlatformClient.Shop(PlatformClient.NewSlug()));
        var store = new Uri((await _client.LiveAsync(await _client.DeployAsync(id)))["url"]!.GetValue<string>());

        using var deleted = await _client.Backend.DeleteAsync($"/api/shops/{id}", Cancel);
        deleted.StatusCode.ShouldBe(HttpStatusCode.Accepted);

        await Eventually.Async(async () =>
        {
            using var response = await _client.Stores.GetAsync(store, Cancel);
            response.StatusCode.ShouldBe(HttpStatusCode.Gone);
        }, TimeSpan.FromSeconds(60), Cancel);
    }

    [Fact]
    public async Task A_deployment_tells_its_steps_with_times_and_its_template_by_digest()
    {
        var deployment = await _client.LiveAsync(await _client.DeployAsync(await _client.CreateShopAsync(PlatformClient.Shop(PlatformClient.NewSlug()))));

        var steps = deployment["steps"]!.AsArray().Select(step => step!.AsObject()).ToList();
        steps.Select(step => step["name"]!.GetValue<string>()).ShouldBe(["fetch", "render", "store", "verify", "activate"]);
        steps.ShouldAllBe(step => step["finishedAt"]!.GetValue<DateTimeOffset>() >= step["startedAt"]!.GetValue<DateTimeOffset>());
        deployment["template"]!["digest"]!.GetValue<string>().ShouldStartWith("sha256:");
    }

    [Fact]
    public async Task Only_services_may_use_internal_endpoints()
    {
        using var message = await _client.Stores.PostAsJsonAsync("/messages", new JsonObject(), Cancel);
        message.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        using var toBackend = await _client.Backend.PostAsJsonAsync("/messages", new JsonObject(), Cancel);
        toBackend.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
    }

    private async Task<IDocument> OpenAsync(Uri address)
    {
        using var response = await _client.Stores.GetAsync(address, Cancel);
        response.StatusCode.ShouldBe(HttpStatusCode.OK, address.ToString());
        var html = await response.Content.ReadAsStringAsync(Cancel);
        return await BrowsingContext.New(Configuration.Default).OpenAsync(request => request.Address(address).Content(html), Cancel);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
