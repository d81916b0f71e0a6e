using System.Net;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Console;

/// <summary>Tests that need a Backend of their own: an empty one, or one whose dependencies become unavailable.</summary>
public sealed class FreshConsoleTests(PostgresServer server) : IAsyncLifetime
{
    private readonly BackendHost _backend = new(server);
    private ConsoleBrowser _browser = null!;

    private List<string> Badges => [.. _browser.Page.QuerySelectorAll(".badge").Select(ConsoleBrowser.TextOf)];

    private List<string> Shops => [.. _browser.Page.QuerySelectorAll(".card .mono").Select(ConsoleBrowser.TextOf)];

    public async ValueTask InitializeAsync()
    {
        await _backend.InitializeAsync();
        _browser = new ConsoleBrowser(_backend.Client.BaseAddress!);
    }

    public async ValueTask DisposeAsync()
    {
        _browser.Dispose();
        await _backend.DisposeAsync();
    }

    [Fact]
    public async Task A_first_shop_goes_live_without_JavaScript()
    {
        await _browser.OpenAsync("/");
        _browser.Text.ShouldContain("Open your first shop");
        await _browser.FollowAsync("Create a shop");
        _browser.Text.ShouldContain("A template of the tests.");
        await _browser.FollowAsync("aurora 1.1.0");
        _browser.Type("Shop name", "Blue Mug Co.");
        _browser.Type("Name", "Mug");
        _browser.Type("SKU", "MUG-1");
        _browser.Type("Price", "12.50");
        await _browser.PressAsync("Create shop");

        _browser.Page.QuerySelector("h1")!.TextContent.ShouldBe("Blue Mug Co.");
        _browser.Text.ShouldContain("Not deployed yet");
        _browser.Text.ShouldContain("12.50 EUR");
        _browser.Refresh.ShouldBeNull();
        var shopId = Guid.Parse(_browser.Address.Segments[^1]);

        await _browser.PressAsync("Deploy");
        Badges.ShouldContain("Queued");
        _browser.Refresh.ShouldBe("1");
        var requested = await _backend.Deployer.MessageAsync(shopId, "deployment.requested");
        ((string)requested["data"]!["shop"]!["products"]![0]!["name"]!).ShouldBe("Mug");
        var deployment = requested["data"]!.AsObject();
        deployment["id"] = deployment["deploymentId"]!.DeepClone();

        await _backend.ProgressAsync(deployment, "running", "fetch");
        await _browser.OpenAsync("");
        Badges.ShouldContain("Running");
        _browser.Page.QuerySelectorAll(".steps li").Select(ConsoleBrowser.TextOf).ShouldBe(["fetch running", "render –", "store –", "verify –", "activate –"]);

        await _backend.FinishAsync(deployment, "live", Guid.CreateVersion7());
        await _browser.OpenAsync($"/shops/{shopId}");
        Badges.ShouldContain("Current release");
        _browser.Refresh.ShouldBeNull();
        _browser.Link("http://stores.test").GetAttribute("href").ShouldBe("http://stores.test/stores/some-shop/");
        await _browser.FollowAsync("Deployment");
        _browser.Text.ShouldContain((string)deployment["id"]!);

        await _browser.OpenAsync("/");
        _browser.Link("Open store").GetAttribute("href").ShouldBe("http://stores.test/stores/some-shop/");
        Badges.ShouldContain("Live");
    }

    [Fact]
    public async Task Shops_and_deployments_come_in_pages()
    {
        for (var i = 0; i < 5; i++)
            await _backend.CreateShopAsync($"page-{i}");

        await _browser.OpenAsync("/?limit=2");
        Shops.ShouldBe(["/stores/page-4", "/stores/page-3"]);
        await _browser.FollowAsync("Next page");
        Shops.ShouldBe(["/stores/page-2", "/stores/page-1", "/stores/page-0"]);
        _browser.Page.QuerySelectorAll("a[rel=next]").ShouldBeEmpty();
        await _browser.FollowAsync("First page");
        Shops.Count.ShouldBe(5);
        await _browser.OpenAsync("/?cursor=nonsense", HttpStatusCode.BadRequest);
        _browser.Text.ShouldContain("cursor");

        var shop = await _backend.CreateShopAsync();
        for (var i = 0; i < 12; i++)
            await _backend.DeployAsync(shop);
        await _browser.OpenAsync($"/shops/{shop.Id()}");
        _browser.Page.QuerySelectorAll("article").Length.ShouldBe(10);
        await _browser.FollowAsync("Next page");
        _browser.Page.QuerySelectorAll("article").Length.ShouldBe(2);
    }

    [Fact]
    public async Task While_the_registry_is_unavailable_the_console_keeps_working_and_says_so()
    {
        await _browser.OpenAsync("/shops/new");
        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Text.ShouldNotContain("is unavailable");
        await _backend.Registry.StopAsync();

        await _browser.OpenAsync("/shops/new");
        _browser.Text.ShouldContain("TemplateRegistry is unavailable");
        await _browser.OpenAsync("/templates");
        _browser.Text.ShouldContain("TemplateRegistry is unavailable");
        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Text.ShouldContain("TemplateRegistry is unavailable");
        _browser.Type("Shop name", "Made meanwhile");
        await _browser.PressAsync("Create shop");
        _browser.Text.ShouldContain("Tagline");
        await _browser.PressAsync("Deploy");
        Badges.ShouldContain("Queued");
        await _browser.FollowAsync("Edit");
        _browser.Text.ShouldContain("TemplateRegistry is unavailable");
        _browser.Type("Shop name", "Changed meanwhile");
        await _browser.PressAsync("Save changes");
        _browser.Text.ShouldContain("Changed meanwhile");

        // A template that was never cached can't be shown.
        await _browser.OpenAsync("/templates/never-seen", HttpStatusCode.ServiceUnavailable);
        _browser.Text.ShouldContain("template-registry does not answer");
        _browser.Link("Try again").GetAttribute("href").ShouldBe("/templates/never-seen");
    }
}
