using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Platform.Backend.Tests.Console;
using Platform.ServiceDefaults.Security;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Owners;

/// <summary>API keys under guessing, under overload, and during a database outage.</summary>
public sealed class KeyVerificationTests(PostgresServer server)
{
    [Fact]
    public async Task Wrong_keys_delay_unknown_callers_and_not_those_already_known()
    {
        var time = new FakeTimeProvider();
        await using var backend = new BackendHost(server);
        backend.Configure = builder => builder.ConfigureServices(services => services.AddSingleton(new WrongKeys(time)));
        await backend.InitializeAsync();
        using var known = backend.Connect((string)(await backend.MakeKeyAsync("read"))["key"]!);
        using var late = backend.Connect((string)(await backend.MakeKeyAsync("read"))["key"]!);
        (await known.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);

        for (var n = 0; n < 10; n++)
        {
            using var guess = backend.Connect($"plat_guess-{n}");
            (await guess.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        }

        (await known.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await backend.Client.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);
        using (var refused = await late.GetAsync("/api/shops"))
        {
            await refused.ReadProblemAsync(HttpStatusCode.TooManyRequests);
            refused.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
        }

        using var browser = new ConsoleBrowser(backend.Client.BaseAddress!, key: null);
        await browser.SignInAsync("one more guess", HttpStatusCode.TooManyRequests);
        browser.ErrorOf("Key").ShouldNotBeNull().ShouldContain("too many failed attempts");

        time.Advance(TimeSpan.FromSeconds(1));
        (await late.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Each_owner_has_its_own_rate_limit()
    {
        await using var backend = new BackendHost(server);
        backend.Set("Admission:RatePerSecond", "0.01");
        backend.Set("Admission:Burst", "10");
        await backend.InitializeAsync();
        var first = await backend.MakeKeyAsync("read");
        using var one = backend.Connect((string)first["key"]!);
        using var sameOwner = backend.Connect((string)(await backend.MakeKeyAsync("read", first["owner"]!.AsObject().Id()))["key"]!);
        using var other = backend.Connect((string)(await backend.MakeKeyAsync("read"))["key"]!);

        for (var n = 0; n < 10; n++)
            (await one.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await one.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        (await sameOwner.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        (await other.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task During_a_database_outage_a_recently_verified_key_is_accepted_and_any_other_is_a_503()
    {
        await using var own = await PostgresServer.StartNewAsync();
        await using var backend = new BackendHost(own);
        await backend.InitializeAsync();
        using var known = backend.Connect((string)(await backend.MakeKeyAsync("read"))["key"]!);
        var lateKey = (string)(await backend.MakeKeyAsync("read"))["key"]!;
        using var late = backend.Connect(lateKey);
        using var browser = new ConsoleBrowser(backend.Client.BaseAddress!);
        (await known.GetAsync("/api/templates")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await browser.OpenAsync("/templates");
        await own.StopAsync();

        (await known.GetAsync("/api/templates")).StatusCode.ShouldBe(HttpStatusCode.OK);
        using (var shops = await known.GetAsync("/api/shops"))
            await shops.ShouldSayThatTheDatabaseIsUnavailableAsync();
        await browser.OpenAsync("/templates");
        browser.Text.ShouldContain("aurora");

        using (var unknown = await late.GetAsync("/api/templates"))
            await unknown.ShouldSayThatTheDatabaseIsUnavailableAsync();

        using var stranger = new ConsoleBrowser(backend.Client.BaseAddress!, key: null);
        await stranger.SignInAsync(lateKey, HttpStatusCode.ServiceUnavailable);
        var status = (await (await known.GetAsync("/api/status/services")).ReadAsync(HttpStatusCode.OK))["services"]!["database"]!["fallbacks"]!.AsArray();
        status.Select(fallback => $"{fallback!["use"]}: {fallback["kind"]}").ShouldContain("keys seen before: fail-open");
        status.Single(fallback => (string)fallback!["use"]! == "other keys")!["used"]!.GetValue<int>().ShouldBeGreaterThan(0);

        await own.StartAsync();
        await Eventually.Async(async () => (await late.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK));
    }

    [Fact]
    public async Task An_owner_sees_and_decides_on_dead_letters_of_its_own_shops_only()
    {
        await using var backend = new BackendHost(server);
        await backend.InitializeAsync();
        backend.Deployer.Refuses = true;
        var (mine, key) = await DeployAsOwnerAsync(backend);
        var (theirs, _) = await DeployAsOwnerAsync(backend);
        var (ofMine, ofTheirs) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        backend.Deployer.DeadLetters = [DeadLetterOf(ofMine, mine), DeadLetterOf(ofTheirs, theirs)];

        using var browser = new ConsoleBrowser(backend.Client.BaseAddress!, key);
        await Eventually.Async(async () =>
        {
            await browser.OpenAsync("/resilience");
            browser.Text.ShouldContain(mine.Id().ToString());
        });
        browser.Page.DocumentElement.OuterHtml.ShouldNotContain(theirs.Id().ToString());
        browser.Page.DocumentElement.OuterHtml.ShouldNotContain((string)theirs["slug"]!);
        browser.Page.DocumentElement.OuterHtml.ShouldNotContain(ofTheirs.ToString());

        var (action, fields) = browser.FormOf("Discard message store.removed about " + mine.Id());
        await browser.SendAsync((new Uri(action.ToString().Replace(ofMine.ToString(), ofTheirs.ToString(), StringComparison.Ordinal)), fields), HttpStatusCode.NotFound);
        backend.Deployer.Decisions.ShouldBeEmpty();
        await browser.OpenAsync("/resilience");
        await browser.PressAsync("Discard message store.removed about " + mine.Id());
        backend.Deployer.Decisions.ShouldBe([$"/dead-letters/{ofMine}/discard"]);

        // the administrator sees both, of both services
        using var administrator = new ConsoleBrowser(backend.Client.BaseAddress!);
        await Eventually.Async(async () =>
        {
            await administrator.OpenAsync("/resilience");
            administrator.Text.ShouldContain(theirs.Id().ToString());
            administrator.Page.DocumentElement.OuterHtml.ShouldContain(ofTheirs.ToString());
        });
    }

    private static async Task<(JsonObject Shop, string Key)> DeployAsOwnerAsync(BackendHost backend)
    {
        var key = (string)(await backend.MakeKeyAsync("deploy"))["key"]!;
        using var client = backend.Connect(key);
        var shop = await (await client.PostAsJsonAsync("/api/shops", BackendHost.NewShop())).ReadAsync(HttpStatusCode.Created);
        (await client.PostAsync($"/api/shops/{shop.Id()}/deployments", null)).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        return (shop, key);
    }

    private static JsonObject DeadLetterOf(Guid id, JsonObject shop) => new()
    {
        ["id"] = id.ToString(),
        ["destination"] = "backend",
        ["type"] = "store.removed",
        ["subject"] = shop.Id().ToString(),
        ["partitionKey"] = shop.Id().ToString(),
        ["sequence"] = 1,
        ["createdAt"] = DateTimeOffset.UtcNow,
        ["deadAt"] = DateTimeOffset.UtcNow,
        ["refusals"] = 1,
        ["data"] = new JsonObject(),
    };
}
