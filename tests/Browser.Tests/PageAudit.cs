using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;

namespace Platform.Browser.Tests;

/// <summary>
/// Checks pages in light and dark, at 390 and 1280 px: all rules of axe, no horizontal scrolling, no messages in the browser's console, and valid
/// HTML. Collects the problems of many pages, so that a failed test names all of them.
/// </summary>
internal sealed class PageAudit
{
    private const int Phone = 390;
    private const int Desktop = 1280;

    private static readonly AxeRunOptions AllRules = new()
    {
        RunOnly = new() { Type = "tag", Values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] },
    };

    /// <summary>A folder that gets a picture of every page, to look through them after a change of the design.</summary>
    private static readonly string? Pictures = Environment.GetEnvironmentVariable("BROWSER_PICTURES");

    private readonly IPage _page;
    private readonly HtmlValidator _validator = new();
    private readonly List<string> _problems = [];
    private readonly List<string> _messages = [];
    private IResponse? _document;

    private PageAudit(IPage page)
    {
        _page = page;
        _page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
                _messages.Add(message.Text);
        };
        _page.Response += (_, response) =>
        {
            if (response.Request.IsNavigationRequest)
                _document = response;
        };
        _page.PageError += (_, error) => _messages.Add(error);
    }

    public IPage Page => _page;

    public static async Task<PageAudit> StartAsync(IBrowserContext context)
    {
        // Pages hold still while they are checked; RefreshTests checks the refresh itself.
        await context.AddInitScriptAsync("sessionStorage.setItem('refresh-off', '')");
        return new(await context.NewPageAsync());
    }

    /// <summary>Opens a page and checks it.</summary>
    public async Task OpenAsync(string address, int status = 200)
    {
        var response = (await _page.GotoAsync(address))!;
        response.Status.ShouldBe(status, address);
        await CheckAsync(status);
    }

    /// <summary>Checks the open page.</summary>
    public async Task CheckAsync(int status = 200)
    {
        var name = $"{new Uri(_page.Url).PathAndQuery} ({status})";
        _validator.Add(name, await _document!.TextAsync());
        foreach (var (width, scheme) in ((int, ColorScheme)[])[(Desktop, ColorScheme.Light), (Desktop, ColorScheme.Dark), (Phone, ColorScheme.Light), (Phone, ColorScheme.Dark)])
        {
            await _page.SetViewportSizeAsync(width, 900);
            await _page.EmulateMediaAsync(new() { ColorScheme = scheme });
            var result = await _page.RunAxe(AllRules);
            _problems.AddRange(result.Violations.Select(violation =>
                $"{name}, {width} px, {scheme}: {violation.Id}: {violation.Help}: {string.Join(" ", violation.Nodes.Select(node => node.Html))}"));
            var overflow = await _page.EvaluateAsync<int>("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            if (overflow > 0)
                _problems.Add($"{name}, {width} px: scrolls horizontally by {overflow} px");
            if (Pictures is not null)
                await _page.ScreenshotAsync(new() { FullPage = true, Path = Path.Combine(Pictures, $"{string.Join('_', name.Split('/', '?', '&', ' '))}-{width}-{scheme}.png") });
        }

        // Chromium reports the status of an error page itself as a message.
        if (status >= 400)
            _messages.RemoveAll(message => message.StartsWith("Failed to load resource", StringComparison.Ordinal));
        _problems.AddRange(_messages.Select(message => $"{name}: {message}"));
        _messages.Clear();
    }

    /// <summary>Fails with all problems of all pages.</summary>
    public async Task AssertNoProblemsAsync()
    {
        _problems.AddRange(await _validator.ValidateAsync());
        _problems.ShouldBeEmpty();
    }
}
