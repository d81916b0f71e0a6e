using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Platform.TestSupport;

namespace Platform.Browser.Tests;

/// <summary>Every page of the console, in every state that is worth a look.</summary>
public sealed partial class ConsoleTests(LivePlatform platform)
{
    // Redirects to the identity provider, when there is one.
    private const string Provider = "/sign-in/provider";

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Every_page_is_accessible_and_fits_phones()
    {
        await using var context = await platform.OpenBrowserAsync(platform.AdminKey);
        var audit = await PageAudit.StartAsync(context);
        var routes = await ConsoleRoutes.ReadAsync();
        routes.Count.ShouldBeGreaterThan(15);

        var visited = new HashSet<string>();
        var shapes = new Dictionary<string, int>();
        // The shop with deployments first: other tests add shops, and only two are visited.
        var queue = new Queue<string>([$"/shops/{platform.Shop}", .. routes.Where(route => !route.Contains('{', StringComparison.Ordinal) && route != Provider)]);
        while (queue.TryDequeue(out var address))
        {
            // Two shops and two deployments are enough of the same page.
            var path = address.Split('?')[0];
            var shape = Id().Replace(address, "{id}");
            if (path.StartsWith("/api", StringComparison.Ordinal) || shapes.GetValueOrDefault(shape) >= 2 || !visited.Add(address) || !routes.Any(route => ConsoleRoutes.Matches(route, path)))
                continue;
            shapes[shape] = shapes.GetValueOrDefault(shape) + 1;

            await audit.OpenAsync(address);
            foreach (var link in await audit.Page.EvaluateAsync<string[]>("[...document.querySelectorAll('a[href]')].filter(a => a.origin === location.origin).map(a => a.pathname + a.search)"))
                queue.Enqueue(link);
        }

        routes.Where(route => route != Provider && !visited.Any(address => ConsoleRoutes.Matches(route, address.Split('?')[0]))).ShouldBeEmpty("No link leads to these pages.");
        await audit.AssertNoProblemsAsync();
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Signing_in_and_out_is_accessible()
    {
        await using var context = await platform.OpenBrowserAsync();
        var audit = await PageAudit.StartAsync(context);
        await audit.OpenAsync("/sign-in?returnUrl=%2Fkeys");
        await audit.Page.GetByLabel("Key").FillAsync("wrong");
        await audit.Page.Locator("main").GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await audit.Page.GetByText("The key is not valid").WaitForAsync();
        await audit.CheckAsync(401);
        await audit.OpenAsync("/sign-in?problem=unavailable");
        await audit.OpenAsync("/sign-in?said=signed-out");
        await audit.OpenAsync(Provider, 404);
        await audit.AssertNoProblemsAsync();
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task An_owner_without_shops_sees_accessible_empty_pages_and_refusals()
    {
        var key = await platform.PostAsync("/api/keys", new() { ["name"] = "Empty", ["scopes"] = new JsonArray("read"), ["owner"] = new JsonObject { ["name"] = $"Owner {Guid.NewGuid():n}" } });
        await using var context = await platform.OpenBrowserAsync((string)key["key"]!);
        var audit = await PageAudit.StartAsync(context);
        await audit.OpenAsync("/");
        await audit.Page.GetByText("Open your first shop").WaitForAsync();
        await audit.OpenAsync("/resilience");
        await audit.OpenAsync("/owners", 403);
        await audit.OpenAsync("/nothing-here", 404);
        await audit.OpenAsync("/?cursor=nonsense", 400);
        await audit.AssertNoProblemsAsync();
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Forms_with_errors_are_accessible()
    {
        await using var context = await platform.OpenBrowserAsync(platform.AdminKey);
        var audit = await PageAudit.StartAsync(context);
        foreach (var (address, button) in ((string, string)[])[("/shops/new/aurora", "Create shop"), ("/keys/new", "Create key"), ("/owners", "Create owner")])
        {
            await audit.Page.GotoAsync(address);
            await audit.Page.EvaluateAsync("document.querySelectorAll('main [required]').forEach(field => field.removeAttribute('required'))");
            await audit.Page.GetByRole(AriaRole.Button, new() { Name = button }).ClickAsync();
            await audit.Page.Locator("[aria-invalid]").First.WaitForAsync();
            await audit.CheckAsync(400);
        }

        await audit.AssertNoProblemsAsync();
    }

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Success_messages_are_accessible()
    {
        await using var context = await platform.OpenBrowserAsync(platform.AdminKey);
        var audit = await PageAudit.StartAsync(context);
        foreach (var address in (string[])[$"/shops/{platform.Shop}?said=created", $"/shops/{platform.Shop}?said=saved", "/?said=deleted", "/resilience?said=redriven", "/resilience?said=discarded", "/keys?said=revoked", "/owners?said=made"])
            await audit.OpenAsync(address);

        await audit.OpenAsync("/keys/new");
        await audit.Page.GetByLabel("Name", new() { Exact = true }).FillAsync("Robot");
        await audit.Page.GetByLabel("Owner", new() { Exact = true }).SelectOptionAsync("new");
        await audit.Page.GetByLabel("Name of the new owner").FillAsync("Robots & Co.");
        await audit.Page.GetByRole(AriaRole.Button, new() { Name = "Create key" }).ClickAsync();
        await audit.Page.GetByText("Copy the key now").WaitForAsync();
        await audit.CheckAsync();
        await audit.AssertNoProblemsAsync();
    }

    [GeneratedRegex("[0-9a-f]{8}-[0-9a-f-]{27}", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Id();
}
