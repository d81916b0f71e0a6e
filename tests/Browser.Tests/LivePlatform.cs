using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Playwright;
using Platform.TestSupport;

[assembly: AssemblyFixture(typeof(Platform.Browser.Tests.LivePlatform))]
// One test stops a service that the others need.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace Platform.Browser.Tests;

/// <summary>The whole platform with two shops, one of them live, and the browser that visits it. Started once for all tests.</summary>
public sealed class LivePlatform : IAsyncLifetime
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(5);

    // Only to end a test that hangs: a busy machine is no reason to fail.
    private static readonly TimeSpan WaitLimit = TimeSpan.FromMinutes(2);

    private static readonly string[] Services = ["template-registry", "store-deployer", "backend"];
    private static readonly string[] BrowserNames = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

    private readonly string _data = Directory.CreateTempSubdirectory("platform-tests-").FullName;
    private DistributedApplication? _app;
    private IPlaywright? _playwright;
    private IBrowser? _browser;

    public Uri Console { get; private set; } = null!;

    public string AdminKey { get; private set; } = null!;

    /// <summary>The id of the shop that is live.</summary>
    public string Shop { get; private set; } = null!;

    /// <summary>Backend's API, called by the administrator.</summary>
    public HttpClient Api { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        if (!FullTests.Wanted)
            return;

        using var limit = new CancellationTokenSource(StartLimit);
        var builder = await DistributedApplicationTestingBuilder.CreateAsync<Projects.AppHost>(
            [$"--DataDirectory={_data}", "--Database=local", "--ASPIRE_ALLOW_UNSECURED_TRANSPORT=true"], limit.Token);
        // The services' output would bury the results.
        builder.Services.AddLogging(logging => logging.ClearProviders());
        _app = await builder.BuildAsync(limit.Token);
        await _app.StartAsync(limit.Token);
        await Task.WhenAll(Services.Select(service => _app.ResourceNotifications.WaitForResourceHealthyAsync(service, limit.Token)));

        var key = _app.Services.GetRequiredService<DistributedApplicationModel>().Resources.OfType<ParameterResource>().Single(parameter => parameter.Name == "admin-key");
        AdminKey = (await key.GetValueAsync(limit.Token))!;
        Console = _app.GetEndpoint("backend", "http");
        Api = new HttpClient { BaseAddress = Console };
        Api.DefaultRequestHeaders.Authorization = new("Bearer", AdminKey);
        await CreateShopsAsync(limit.Token);

        Assertions.SetDefaultExpectTimeout((float)WaitLimit.TotalMilliseconds);
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = FindBrowser() });
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        _playwright?.Dispose();
        Api?.Dispose();
        if (_app is not null)
            await _app.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }

    /// <summary>A fresh browser profile at 1280 px, signed in when a key is given.</summary>
    public async Task<IBrowserContext> OpenBrowserAsync(string? key = null, bool scripts = true)
    {
        var context = await _browser!.NewContextAsync(new() { BaseURL = Console.ToString(), JavaScriptEnabled = scripts, ViewportSize = new() { Width = 1280, Height = 900 } });
        context.SetDefaultTimeout((float)WaitLimit.TotalMilliseconds);
        if (key is not null)
        {
            var page = await context.NewPageAsync();
            await page.GotoAsync("/sign-in");
            await page.GetByLabel("Key").FillAsync(key);
            await page.Locator("main").GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
            await page.GetByRole(AriaRole.Button, new() { Name = "Sign out" }).WaitForAsync();
            await page.CloseAsync();
        }

        return context;
    }

    /// <summary>Stops or starts a service.</summary>
    public async Task CommandAsync(string service, string command)
    {
        var result = await _app!.ResourceCommands.ExecuteCommandAsync(service, command, TestContext.Current.CancellationToken);
        result.Success.ShouldBeTrue($"{command} {service}: {result.Message}");
        if (command == "start")
            await _app.ResourceNotifications.WaitForResourceHealthyAsync(service, TestContext.Current.CancellationToken);
    }

    public async Task<JsonObject> PostAsync(string path, JsonObject? body = null, CancellationToken cancellationToken = default)
    {
        using var response = await Api.PostAsJsonAsync(path, body ?? [], cancellationToken);
        var answer = await response.Content.ReadAsStringAsync(cancellationToken);
        response.IsSuccessStatusCode.ShouldBeTrue(answer);
        return JsonNode.Parse(answer)!.AsObject();
    }

    /// <summary>Waits until a deployment is live and returns it.</summary>
    public Task<JsonObject> LiveAsync(string deployment, CancellationToken cancellationToken) => Eventually.Async(async () =>
    {
        var current = (await Api.GetFromJsonAsync<JsonObject>($"/api/deployments/{deployment}", cancellationToken))!;
        ((string)current["status"]!).ShouldBe("live", current.ToJsonString());
        return current;
    }, TimeSpan.FromSeconds(60), cancellationToken);

    private async Task CreateShopsAsync(CancellationToken cancellationToken)
    {
        var live = await PostAsync("/api/shops", new()
        {
            ["slug"] = "blue-mug",
            ["name"] = "Blue Mug & Co.",
            ["template"] = new JsonObject { ["name"] = "aurora" },
            ["settings"] = new JsonObject
            {
                ["announcement"] = "Free delivery until Sunday",
                ["about"] = "Stoneware from a small kiln.\n\nEvery piece is thrown by hand and fired twice.",
                ["contactEmail"] = "hello@example.com",
            },
            ["products"] = new JsonArray([.. ((string[])["Mug", "Teapot", "Plate with an unusually long name that needs more than one line in the grid"]).Select((name, i) => new JsonObject
            {
                ["sku"] = $"ITEM-{i}",
                ["name"] = name,
                ["description"] = "Blue glaze, dishwasher safe.",
                ["price"] = 12.5m + i,
                ["currency"] = "EUR",
            })]),
        }, cancellationToken);
        Shop = (string)live["id"]!;
        await PostAsync("/api/shops", new()
        {
            ["slug"] = new string('a', 63),
            ["name"] = "A shop with a name that is as long as names of shops can reasonably be expected to become, and more",
            ["template"] = new JsonObject { ["name"] = "aurora" },
            ["settings"] = new JsonObject(),
            ["products"] = new JsonArray(),
        }, cancellationToken);
        await PostAsync("/api/keys", new() { ["name"] = "Continuous integration", ["scopes"] = new JsonArray("deploy"), ["owner"] = new JsonObject { ["name"] = "Bakery on the corner" } }, cancellationToken);

        // Two deployments, so that there is a release to roll back to.
        await LiveAsync((string)(await PostAsync($"/api/shops/{Shop}/deployments", null, cancellationToken))["id"]!, cancellationToken);
        await LiveAsync((string)(await PostAsync($"/api/shops/{Shop}/deployments", null, cancellationToken))["id"]!, cancellationToken);
    }

    private static string FindBrowser() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .SelectMany(_ => BrowserNames, Path.Combine)
            .FirstOrDefault(File.Exists)
        ?? throw new InvalidOperationException($"The browser tests need Chromium: none of {string.Join(", ", BrowserNames)} is on the PATH.");
}
