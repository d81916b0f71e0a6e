using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Platform.TestSupport;

namespace Platform.Browser.Tests;

/// <summary>Live stores of each built-in template, as shoppers see them.</summary>
public sealed class StoreTests(LivePlatform platform)
{
    private static readonly string[] Products = ["Mug", "Teapot", "Plate with an unusually long name that needs more than one line in the grid"];

    [Theory(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    [InlineData("aurora", 5, "home, about and three products")]
    [InlineData("bazaar", 6, "home, about, search and three products")]
    [InlineData("solo", 5, "home, about and three products")]
    public async Task Every_page_of_a_store_is_accessible_and_fits_phones(string template, int pages, string which)
    {
        var store = await DeployAsync(template, Products);
        await using var context = await platform.OpenBrowserAsync();
        var audit = await PageAudit.StartAsync(context);
        var visited = new HashSet<string>();
        var queue = new Queue<string>([store.AbsoluteUri]);
        while (queue.TryDequeue(out var address))
        {
            if (!visited.Add(address))
                continue;
            await audit.OpenAsync(address);
            foreach (var link in await audit.Page.EvaluateAsync<string[]>("[...document.querySelectorAll('a[href]')].filter(a => a.origin === location.origin).map(a => a.origin + a.pathname)"))
                queue.Enqueue(link);
        }

        visited.Count.ShouldBe(pages, which);
        await audit.OpenAsync(new Uri(store, "nothing-here").AbsoluteUri, 404);
        await audit.AssertNoProblemsAsync();
    }

    [Theory(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    [InlineData("aurora")]
    [InlineData("bazaar")]
    [InlineData("solo")]
    public async Task A_store_without_products_is_accessible(string template)
    {
        var store = await DeployAsync(template, []);
        await using var context = await platform.OpenBrowserAsync();
        var audit = await PageAudit.StartAsync(context);

        await audit.OpenAsync(store.AbsoluteUri);

        await audit.AssertNoProblemsAsync();
    }

    [Theory(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    [InlineData("aurora")]
    [InlineData("bazaar")]
    [InlineData("solo")]
    public async Task A_picture_that_cannot_be_loaded_makes_way_for_a_drawing(string template)
    {
        var store = await DeployAsync(template, ["Mug"], image: "http://localhost:1/no-such-picture.png");
        await using var context = await platform.OpenBrowserAsync();
        var page = await context.NewPageAsync();

        await page.GotoAsync(store.AbsoluteUri);

        await Assertions.Expect(page.Locator(".placeholder").First).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator(".picture img").First).ToBeHiddenAsync();
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Search_finds_products_on_all_pages_of_the_list_as_one_types()
    {
        var store = await DeployAsync("bazaar", [.. Enumerable.Range(1, 300).Select(n => $"Hinge {n}"), "Café table"]);
        await using var context = await platform.OpenBrowserAsync();
        var page = await context.NewPageAsync();
        await page.GotoAsync(store.AbsoluteUri);

        await page.GetByRole(AriaRole.Searchbox).FillAsync("cafe TAB");
        await page.Keyboard.PressAsync("Enter");

        var rows = page.Locator("#search-list li");
        await Assertions.Expect(rows).ToHaveCountAsync(1);
        await Assertions.Expect(page.GetByRole(AriaRole.Status)).ToHaveTextAsync("1");
        await page.GetByRole(AriaRole.Searchbox).FillAsync("hinge 299");
        // Item numbers count too: that of hinge 300 is ITEM-299.
        await Assertions.Expect(rows).ToHaveCountAsync(2);
        await rows.GetByRole(AriaRole.Link, new() { Name = "Hinge 299" }).ClickAsync();
        await Assertions.Expect(page.Locator("h1")).ToHaveTextAsync("Hinge 299");
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Without_JavaScript_a_search_leads_to_the_list_of_all_products()
    {
        var store = await DeployAsync("bazaar", Products);
        await using var context = await platform.OpenBrowserAsync(scripts: false);
        var page = await context.NewPageAsync();
        await page.GotoAsync(store.AbsoluteUri);

        await page.GetByRole(AriaRole.Searchbox).FillAsync("mug");
        await page.Keyboard.PressAsync("Enter");

        await Assertions.Expect(page).ToHaveURLAsync(new Regex(@"/search/\?q=mug$"));
        await Assertions.Expect(page.Locator("#search-list li")).ToHaveCountAsync(Products.Length);
    }

    private async Task<Uri> DeployAsync(string template, IReadOnlyList<string> products, string? image = null)
    {
        var shop = await platform.PostAsync("/api/shops", new()
        {
            ["slug"] = $"{template}-{Guid.NewGuid():n}"[..30],
            ["name"] = "Blue Mug & Co.",
            ["template"] = new JsonObject { ["name"] = template },
            ["settings"] = new JsonObject
            {
                ["announcement"] = "Free delivery until Sunday",
                ["about"] = "Stoneware from a small kiln.\n\nEvery piece is thrown by hand and fired twice.",
                ["contactEmail"] = "hello@example.com",
            },
            ["products"] = new JsonArray([.. products.Select((name, i) => new JsonObject
            {
                ["sku"] = $"ITEM-{i}",
                ["name"] = name,
                ["description"] = "Blue glaze, dishwasher safe.",
                ["price"] = 12.5m + i,
                ["currency"] = "EUR",
                ["imageUrl"] = image,
            })]),
        });
        var deployment = await platform.PostAsync($"/api/shops/{shop["id"]}/deployments");
        var live = await platform.LiveAsync((string)deployment["id"]!, TestContext.Current.CancellationToken);
        return new Uri((string)live["url"]!);
    }
}
