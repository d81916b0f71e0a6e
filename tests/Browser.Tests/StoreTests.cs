using Platform.TestSupport;

namespace Platform.Browser.Tests;

/// <summary>A live store, as shoppers see it.</summary>
public sealed class StoreTests(LivePlatform platform)
{
    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Every_page_of_a_store_is_accessible_and_fits_phones()
    {
        await using var context = await platform.OpenBrowserAsync();
        var audit = await PageAudit.StartAsync(context);
        var visited = new HashSet<string>();
        var queue = new Queue<string>([platform.Store.AbsoluteUri]);
        while (queue.TryDequeue(out var address))
        {
            if (!visited.Add(address))
                continue;
            await audit.OpenAsync(address);
            foreach (var link in await audit.Page.EvaluateAsync<string[]>("[...document.querySelectorAll('a[href]')].filter(a => a.origin === location.origin).map(a => a.origin + a.pathname)"))
                queue.Enqueue(link);
        }

        visited.Count.ShouldBe(5, "home, about and three products");
        await audit.OpenAsync(new Uri(platform.Store, "nothing-here").AbsoluteUri, 404);
        await audit.AssertNoProblemsAsync();
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task A_store_without_products_is_accessible()
    {
        var shop = await platform.PostAsync("/api/shops", new()
        {
            ["slug"] = $"empty-{Guid.NewGuid():n}"[..20],
            ["name"] = "Opening soon",
            ["template"] = new System.Text.Json.Nodes.JsonObject { ["name"] = "aurora" },
            ["settings"] = new System.Text.Json.Nodes.JsonObject(),
            ["products"] = new System.Text.Json.Nodes.JsonArray(),
        });
        var deployment = await platform.PostAsync($"/api/shops/{shop["id"]}/deployments");
        var live = await platform.LiveAsync((string)deployment["id"]!, TestContext.Current.CancellationToken);

        await using var context = await platform.OpenBrowserAsync();
        var audit = await PageAudit.StartAsync(context);
        await audit.OpenAsync((string)live["url"]!);
        await audit.AssertNoProblemsAsync();
    }
}
