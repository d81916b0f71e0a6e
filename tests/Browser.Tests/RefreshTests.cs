using Microsoft.Playwright;
using Platform.TestSupport;

namespace Platform.Browser.Tests;

/// <summary>The refresh of pages that show work in progress, on the browser's fake clock.</summary>
public sealed class RefreshTests(LivePlatform platform)
{
    private static readonly DateTime Start = new(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc);

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task A_page_refreshes_in_place_until_it_is_stopped()
    {
        await using var context = await platform.OpenBrowserAsync(platform.AdminKey);
        var page = await OpenAsync(context, "/resilience");
        var loads = 0;
        page.DOMContentLoaded += (_, _) => loads++;
        var button = page.GetByRole(AriaRole.Button, new() { Name = "Auto-refresh" });
        await Assertions.Expect(button).ToHaveAttributeAsync("aria-pressed", "true");
        await button.FocusAsync();

        // Whatever the reader sees is replaced by what the server says, and nothing else.
        await page.Locator("h1").EvaluateAsync("heading => heading.textContent = 'Outdated'");
        await RefreshedAsync(page, () => page.Clock.RunForAsync(2_000));
        await Assertions.Expect(page.Locator("h1")).ToHaveTextAsync("Resilience");
        await Assertions.Expect(button).ToBeFocusedAsync();
        loads.ShouldBe(0);

        await page.Keyboard.PressAsync("Space");
        await Assertions.Expect(button).ToHaveAttributeAsync("aria-pressed", "false");
        await Assertions.Expect(page.GetByRole(AriaRole.Status).GetByText("Auto-refresh is off")).ToBeVisibleAsync();
        var requests = 0;
        // Refreshes only: the browser may still be fetching an icon.
        page.Request += (_, request) => requests += request.ResourceType == "fetch" ? 1 : 0;
        await page.Clock.RunForAsync(60_000);
        requests.ShouldBe(0);

        // It stays off on other pages, until it is switched on again.
        await page.ReloadAsync();
        await Assertions.Expect(button).ToHaveAttributeAsync("aria-pressed", "false");
        await RefreshedAsync(page, async () =>
        {
            await button.ClickAsync();
            await page.Clock.RunForAsync(2_000);
        });
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task The_refresh_link_refreshes_in_place()
    {
        await using var context = await platform.OpenBrowserAsync(platform.AdminKey);
        var page = await OpenAsync(context, "/resilience");
        await page.Locator("h1").EvaluateAsync("heading => heading.textContent = 'Outdated'");
        await RefreshedAsync(page, () => page.GetByRole(AriaRole.Link, new() { Name = "Refresh" }).ClickAsync());
        await Assertions.Expect(page.Locator("h1")).ToHaveTextAsync("Resilience");
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task A_hidden_page_does_not_refresh()
    {
        await using var context = await platform.OpenBrowserAsync(platform.AdminKey);
        var page = await OpenAsync(context, "/resilience");
        await SetHiddenAsync(page, true);
        var requests = 0;
        // Refreshes only: the browser may still be fetching an icon.
        page.Request += (_, request) => requests += request.ResourceType == "fetch" ? 1 : 0;
        await page.Clock.RunForAsync(60_000);
        requests.ShouldBe(0);

        await RefreshedAsync(page, () => SetHiddenAsync(page, false));
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task A_failed_refresh_is_said_and_tried_again()
    {
        await using var context = await platform.OpenBrowserAsync(platform.AdminKey);
        var page = await OpenAsync(context, "/resilience");
        await page.RouteAsync("**/resilience", route => route.FulfillAsync(new() { Status = 503 }));
        await page.Clock.RunForAsync(2_000);
        await Assertions.Expect(page.GetByText("Could not refresh; trying again")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator("h1")).ToHaveTextAsync("Resilience");

        await page.UnrouteAllAsync();
        await RefreshedAsync(page, () => page.Clock.RunForAsync(4_000));
        await Assertions.Expect(page.GetByText("Refreshes every 2 seconds")).ToBeVisibleAsync();
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task While_a_service_is_down_the_pages_are_accessible_and_follow_the_deployment_until_it_is_live()
    {
        await using var context = await platform.OpenBrowserAsync(platform.AdminKey);
        await platform.CommandAsync("store-deployer", "stop");
        string deployment;
        try
        {
            deployment = (string)(await platform.PostAsync($"/api/shops/{platform.Shop}/deployments"))["id"]!;
            await using var still = await platform.OpenBrowserAsync(platform.AdminKey);
            var audit = await PageAudit.StartAsync(still);
            await audit.OpenAsync($"/shops/{platform.Shop}");
            await Assertions.Expect(audit.Page.GetByText("Queued.")).ToBeVisibleAsync();
            await audit.OpenAsync($"/shops/{platform.Shop}/deployments/{deployment}");
            await Eventually.Async(async () =>
            {
                await audit.Page.GotoAsync("/resilience");
                (await audit.Page.GetByText("store-deployer is unavailable").CountAsync()).ShouldBe(1);
            }, cancellationToken: TestContext.Current.CancellationToken);
            await audit.CheckAsync();
            await audit.AssertNoProblemsAsync();
        }
        finally
        {
            await platform.CommandAsync("store-deployer", "start");
        }

        var page = await context.NewPageAsync();
        await page.GotoAsync($"/shops/{platform.Shop}/deployments/{deployment}");
        await Assertions.Expect(page.Locator("main .badge.live").First).ToBeVisibleAsync();
        // It is final, so there is nothing to refresh.
        await Assertions.Expect(page.Locator("#refresh")).ToHaveCountAsync(0);
    }

    private static async Task<IPage> OpenAsync(IBrowserContext context, string address)
    {
        var page = await context.NewPageAsync();
        // Paused before the page sets its first timer.
        await page.Clock.InstallAsync(new() { TimeDate = Start });
        await page.Clock.PauseAtAsync(Start.AddSeconds(1));
        await page.GotoAsync(address);
        return page;
    }

    private static async Task RefreshedAsync(IPage page, Func<Task> act) =>
        await page.RunAndWaitForResponseAsync(act, response => response is { Request.ResourceType: "fetch", Ok: true });

    private static async Task SetHiddenAsync(IPage page, bool hidden) => await page.EvaluateAsync(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }", hidden);
}
