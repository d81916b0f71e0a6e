using System.Net;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Console;

public sealed class ConsolePagesTests(BackendHost backend) : IClassFixture<BackendHost>, IDisposable
{
    private readonly ConsoleBrowser _browser = new(backend.Client.BaseAddress!);

    private List<string> Badges => [.. _browser.Page.QuerySelectorAll(".badge").Select(ConsoleBrowser.TextOf)];

    public void Dispose() => _browser.Dispose();

    [Fact]
    public async Task A_failed_deployment_says_why_and_can_be_retried()
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);
        await backend.FinishAsync(deployment, "failed", error: new { code = "page-does-not-render", message = "index.html: <b>no</b> such helper." });
        await _browser.OpenAsync($"/shops/{shop.Id()}");
        Badges.ShouldContain("Failed");
        _browser.Text.ShouldContain("index.html: <b>no</b> such helper.");
        _browser.Text.ShouldContain("page-does-not-render");
        _browser.HasButton("Cancel this deployment").ShouldBeFalse();

        await _browser.PressAsync("Retry this deployment");
        Badges.ShouldContain("Queued");
        await backend.Deployer.MessageAsync(shop.Id(), "deployment.retry-requested");
    }

    [Fact]
    public async Task A_deployment_can_be_cancelled_until_it_is_final()
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);
        await _browser.OpenAsync($"/shops/{shop.Id()}");
        var cancel = _browser.FormOf("Cancel this deployment");
        await _browser.PressAsync("Cancel this deployment");
        _browser.Text.ShouldContain("Cancellation requested.");
        _browser.HasButton("Cancel this deployment").ShouldBeFalse();
        await backend.Deployer.MessageAsync(shop.Id(), "deployment.cancel-requested");

        // Sending the same form again changes nothing; a new one comes too late.
        await _browser.SendAsync(cancel);
        await backend.FinishAsync(deployment, "cancelled");
        await _browser.SendAsync(_browser.FormTo(cancel.Action), HttpStatusCode.Conflict);
        _browser.Text.ShouldContain("The deployment is already cancelled.");
        await _browser.FollowAsync("Back to the shop");
        Badges.ShouldContain("Cancelled");
    }

    [Fact]
    public async Task An_earlier_release_can_be_brought_back()
    {
        var (shop, first) = await backend.CreateLiveShopAsync();
        await _browser.OpenAsync($"/shops/{shop.Id()}");
        _browser.HasButton("Roll back to this release").ShouldBeFalse();

        var second = await backend.DeployAsync(shop);
        await backend.FinishAsync(second, "live", Guid.CreateVersion7());
        await _browser.OpenAsync($"/shops/{shop.Id()}");
        Badges.Count(badge => badge == "Current release").ShouldBe(1);
        Badges.ShouldContain("Previously live");
        await _browser.PressAsync("Roll back to this release");

        _browser.Page.QuerySelectorAll("article a strong").Select(ConsoleBrowser.TextOf).ShouldBe(["Rollback", "Deployment", "Deployment"]);
        var requested = await Eventually.Async(() => Task.FromResult(backend.Deployer.MessagesOf(shop.Id()).Single(message => (string)message["data"]!["kind"]! == "rollback")));
        using var read = await backend.Client.GetAsync($"/api/deployments/{first.Id()}");
        ((string)requested["data"]!["rollbackTo"]!).ShouldBe((string)(await read.ReadAsync(HttpStatusCode.OK))["release"]!);
    }

    [Fact]
    public async Task Deleting_a_shop_asks_for_confirmation()
    {
        var (shop, _) = await backend.CreateLiveShopAsync();
        await _browser.OpenAsync($"/shops/{shop.Id()}");
        await _browser.FollowAsync("Delete");
        _browser.Text.ShouldContain("This can't be undone.");
        await _browser.PressAsync("Delete shop");
        _browser.Address.AbsolutePath.ShouldBe("/");
        _browser.Text.ShouldContain("The shop was deleted.");
        await backend.Deployer.MessageAsync(shop.Id(), "shop.deleted");

        await _browser.OpenAsync($"/shops/{shop.Id()}");
        _browser.Text.ShouldContain("Its store is being taken down.");
        _browser.HasButton("Deploy").ShouldBeFalse();
        _browser.Refresh.ShouldNotBeNull();
        await backend.TellAsync("store.removed", shop.Id(), new { shopId = shop.Id() });
        await _browser.OpenAsync($"/shops/{shop.Id()}", HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Merchants_input_is_encoded_on_every_page()
    {
        const string Hostile = "<script>alert(1)</script>\"'&";
        await _browser.OpenAsync("/shops/new/aurora");
        _browser.Type("Shop name", Hostile);
        _browser.Type("Address", $"hostile-{Guid.NewGuid():n}");
        _browser.Type("Tagline", Hostile);
        _browser.Type("Name", Hostile);
        _browser.Type("SKU", "X");
        _browser.Type("Price", "1");
        _browser.Type("Description", $"</textarea>{Hostile}");
        await _browser.PressAsync("Create shop");
        var shop = _browser.Address.AbsolutePath;

        // ConsoleBrowser rejects pages with inline scripts or event handlers.
        foreach (var path in (string[])["/", shop, $"{shop}/edit", $"{shop}/delete"])
        {
            await _browser.OpenAsync(path);
            (_browser.Text.Contains(Hostile, StringComparison.Ordinal) || _browser.Page.QuerySelectorAll("input").Any(input => input.GetAttribute("value") == Hostile))
                .ShouldBeTrue(path);
        }

        await _browser.OpenAsync($"{shop}/edit");
        _browser.Value("Description").ShouldBe($"</textarea>{Hostile}");
        _browser.Title.ShouldBe($"Edit {Hostile} · Platform");
    }

    [Fact]
    public async Task A_template_shows_its_versions_and_parameters()
    {
        await _browser.OpenAsync("/templates");
        await _browser.FollowAsync("aurora 1.1.0");
        _browser.Text.ShouldContain("Version 1.1.0");
        _browser.Rows("section[aria-labelledby=parameters]").ShouldBe(
            ["Tagline | tagline | text at most 40 characters | –", "Accent | accent | color | #112233", "Columns | columns | number from 1 to 6 in steps of 1 | 3"]);
        await _browser.FollowAsync("1.0.0");
        _browser.Text.ShouldContain("Version 1.0.0");
        await _browser.FollowAsync("Create shop");
        _browser.FormOf("Create shop").Fields.ShouldContain(field => field.Key == "version" && field.Value == "1.0.0");
    }

    [Theory]
    [InlineData("/nothing-here")]
    [InlineData("/shops/01980000-0000-7000-8000-000000000000")]
    [InlineData("/shops/01980000-0000-7000-8000-000000000000/edit")]
    [InlineData("/shops/not-an-id")]
    [InlineData("/shops/new/nothing")]
    [InlineData("/templates/nothing")]
    [InlineData("/templates/aurora?version=9.9.9")]
    public async Task A_missing_resource_is_a_page_for_people_and_a_problem_for_programs(string path)
    {
        await _browser.OpenAsync(path, HttpStatusCode.NotFound);
        _browser.Page.QuerySelector("h1")!.TextContent.ShouldBe("Page not found");
        _browser.Text.ShouldContain("Trace ID");
        using var program = await backend.Client.GetAsync(path);
        program.StatusCode.ShouldBe(HttpStatusCode.NotFound);
        program.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
    }

    [Fact]
    public async Task The_API_returns_problems_to_browsers_too()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/shops/01980000-0000-7000-8000-000000000000") { Headers = { { "Accept", "text/html" } } };
        using var response = await backend.Client.SendAsync(request);
        await response.ReadProblemAsync(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Pages_load_only_the_consoles_own_assets_which_are_cached_forever()
    {
        await _browser.OpenAsync("/resilience");
        foreach (var asset in _browser.Page.QuerySelectorAll("link[href], script[src]"))
        {
            using var response = await backend.Client.GetAsync(asset.GetAttribute("href") ?? asset.GetAttribute("src"));
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            response.Headers.CacheControl!.ToString().ShouldBe("public, max-age=31536000, immutable");
            response.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
            (await response.Content.ReadAsStringAsync()).ShouldNotContain("url(");
        }

        using var unknown = await backend.Client.GetAsync("/assets/console.css");
        unknown.StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task While_the_database_is_unavailable_pages_say_so_and_forms_can_be_submitted_again()
    {
        await using var ownServer = await PostgresServer.StartNewAsync();
        await using var ownBackend = new BackendHost(ownServer);
        await ownBackend.InitializeAsync();
        using var browser = new ConsoleBrowser(ownBackend.Client.BaseAddress!);
        await browser.OpenAsync("/shops/new/aurora");
        browser.Type("Shop name", "Sent twice");
        var form = browser.FormOf("Create shop");

        await ownServer.StopAsync();
        await browser.OpenAsync("/", HttpStatusCode.ServiceUnavailable);
        browser.Text.ShouldContain("Live stores are not affected");
        browser.Link("Try again").GetAttribute("href").ShouldBe("/");
        await browser.SendAsync(form, HttpStatusCode.ServiceUnavailable);
        browser.Text.ShouldContain("Reload this page to submit the form again.");

        await ownServer.StartAsync();
        await Eventually.Async(() => browser.SendAsync(form));
        browser.Page.QuerySelector("h1")!.TextContent.ShouldBe("Sent twice");
    }
}
