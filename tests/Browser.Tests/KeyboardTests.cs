using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Platform.TestSupport;

namespace Platform.Browser.Tests;

public sealed partial class KeyboardTests(LivePlatform platform)
{
    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public Task Signing_in_and_creating_a_shop_works_by_keyboard() => SignInAndCreateShopAsync(scripts: true);

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public Task Signing_in_and_creating_a_shop_works_by_keyboard_without_JavaScript() => SignInAndCreateShopAsync(scripts: false);

    private async Task SignInAndCreateShopAsync(bool scripts)
    {
        await using var context = await platform.OpenBrowserAsync(scripts: scripts);
        var page = await context.NewPageAsync();
        await page.GotoAsync("/shops/new/aurora");
        await page.WaitForURLAsync("**/sign-in?**");
        await Assertions.Expect(page.GetByLabel("Key")).ToBeFocusedAsync();
        await page.Keyboard.TypeAsync(platform.AdminKey);
        await page.Keyboard.PressAsync("Enter");
        await page.WaitForURLAsync("**/shops/new/aurora");

        // The skip link comes first and leads past the navigation.
        await page.Keyboard.PressAsync("Tab");
        await Assertions.Expect(page.GetByRole(AriaRole.Link, new() { Name = "Skip to content" })).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Enter");
        var name = $"Typed {Guid.NewGuid():n}"[..20];
        await TabToAsync(page, page.GetByLabel("Shop name"));
        await page.Keyboard.TypeAsync(name);
        await TabToAsync(page, page.GetByLabel("Name", new() { Exact = true }));
        await page.Keyboard.TypeAsync("Mug");
        await TabToAsync(page, page.GetByLabel("SKU"));
        await page.Keyboard.TypeAsync("MUG-1");
        await TabToAsync(page, page.GetByLabel("Price", new() { Exact = true }));
        await page.Keyboard.TypeAsync("12.50");
        await TabToAsync(page, page.GetByRole(AriaRole.Button, new() { Name = "Create shop" }));
        await page.Keyboard.PressAsync("Enter");

        await page.WaitForURLAsync(ShopAddress());
        await Assertions.Expect(page.Locator("h1")).ToHaveTextAsync(name);
        await Assertions.Expect(page.GetByRole(AriaRole.Cell, new() { Name = "12.50 EUR" })).ToBeVisibleAsync();
    }

    private static async Task TabToAsync(IPage page, ILocator target)
    {
        for (var presses = 0; presses < 60; presses++)
        {
            await page.Keyboard.PressAsync("Tab");
            if (await target.EvaluateAsync<bool>("element => element === document.activeElement"))
                return;
        }

        Assert.Fail($"Tab never reaches {target}.");
    }

    [GeneratedRegex("/shops/[0-9a-f-]{36}\\?said=created", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ShopAddress();
}
