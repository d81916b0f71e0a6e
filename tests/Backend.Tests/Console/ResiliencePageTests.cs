using System.Net;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Console;

/// <summary>A Backend whose calls to StoreDeployer take up to a minute before they time out.</summary>
public sealed class PatientBackend(PostgresServer server) : IAsyncLifetime
{
    public BackendHost Host { get; } = new(server);

    public ValueTask InitializeAsync()
    {
        Host.Set("Services:store-deployer:AttemptTimeout", "00:05:00");
        Host.Set("Services:store-deployer:ReadTimeout", "00:05:00");
        Host.Set("Services:store-deployer:WriteTimeout", "00:05:00");
        return Host.InitializeAsync();
    }

    public ValueTask DisposeAsync() => Host.DisposeAsync();
}

public sealed class ResiliencePageTests(PatientBackend patient) : IClassFixture<PatientBackend>, IDisposable
{
    private readonly BackendHost _backend = patient.Host;
    private readonly ConsoleBrowser _browser = new(patient.Host.Client.BaseAddress!);

    public void Dispose() => _browser.Dispose();

    [Fact]
    public async Task It_shows_the_breaker_and_the_fallbacks_of_every_dependency()
    {
        await _browser.OpenAsync("/resilience");

        var rows = _browser.Rows("[aria-labelledby=services]").ToList();
        rows.Select(row => row.Split(" | ")[0]).ShouldBe(["database", "store-deployer", "template-registry"]);
        rows.ShouldAllBe(row => row.Contains("Connected | Closed"));
        rows.Single(row => row.StartsWith("template-registry", StringComparison.Ordinal)).ShouldContain("templates: fail-open");
        _browser.Refresh.ShouldBe("2");
        await _browser.FollowAsync("Refresh");
        _browser.Address.AbsolutePath.ShouldBe("/resilience");
    }

    [Fact]
    public async Task A_dead_letter_of_Backend_is_shown_with_its_reason_and_can_be_redriven_or_discarded()
    {
        _backend.Deployer.Refuses = true;
        Guid redriven, discarded;
        try
        {
            redriven = (await _backend.DeployAsync(await _backend.CreateShopAsync())).Id();
            discarded = (await _backend.DeployAsync(await _backend.CreateShopAsync())).Id();
            await Eventually.Async(async () =>
            {
                await _browser.OpenAsync("/resilience");
                Fact("Dead letters to store-deployer").ShouldBe("2");
            });
            _browser.Text.ShouldContain("no such template");
        }
        finally
        {
            _backend.Deployer.Refuses = false;
        }

        await _browser.PressAsync($"Redrive message deployment.requested about {redriven}");
        _browser.Text.ShouldContain("The rejected messages are being sent again.");
        await Eventually.Async(async () =>
        {
            await _browser.OpenAsync("/resilience");
            Fact("Dead letters to store-deployer").ShouldBe("1");
            Fact("To store-deployer").ShouldBe("Nothing waiting");
        });

        await _browser.PressAsync($"Discard message deployment.requested about {discarded}");
        _browser.Text.ShouldContain("The dead letter was discarded.");
        Fact("Dead letters to store-deployer").ShouldBe("None");
    }

    [Fact]
    public async Task Messages_from_StoreDeployer_are_shown_redriven_and_discarded_through_its_API()
    {
        var letter = Guid.CreateVersion7();
        _backend.Deployer.Backlog = new JsonArray(new JsonObject
        {
            ["destination"] = "backend",
            ["waiting"] = 7,
            ["oldestAt"] = DateTimeOffset.UtcNow.AddHours(-3.5).ToString("O"),
            ["deadLetters"] = 1,
            ["away"] = true,
            ["lastError"] = "connection refused",
        });
        _backend.Deployer.DeadLetters = new JsonArray(new JsonObject
        {
            ["id"] = letter,
            ["destination"] = "backend",
            ["type"] = "deployment.finished",
            ["subject"] = "a deployment",
            ["partitionKey"] = Guid.NewGuid(),
            ["sequence"] = 3,
            ["createdAt"] = "2026-01-02T03:04:05Z",
            ["deadAt"] = "2026-01-02T03:04:05Z",
            ["refusals"] = 2,
            ["lastError"] = "<b>no</b> such shop",
            ["data"] = new JsonObject(),
        });
        try
        {
            await Eventually.Async(async () =>
            {
                await _browser.OpenAsync("/resilience");
                Fact("To backend").ShouldBe("7 waiting, oldest for 3 hUnavailable connection refused");
            });
            _browser.Text.ShouldContain("<b>no</b> such shop");
            _browser.Text.ShouldContain("rejected 2 times");

            await _browser.PressAsync("Redrive message deployment.finished about a deployment");
            await _browser.PressAsync("Discard message deployment.finished about a deployment");

            _backend.Deployer.Decisions.ShouldBe([$"/dead-letters/{letter}/redrive", $"/dead-letters/{letter}/discard"]);
        }
        finally
        {
            _backend.Deployer.Backlog = _backend.Deployer.DeadLetters = [];
        }
    }

    [Fact]
    public async Task It_works_while_StoreDeployer_is_unavailable_and_says_so()
    {
        await _backend.Deployer.StopAsync();
        try
        {
            await _browser.OpenAsync("/resilience");

            _browser.Text.ShouldContain("store-deployer is unavailable.");
            _browser.Rows("[aria-labelledby=services]").Single(row => row.StartsWith("store-deployer", StringComparison.Ordinal)).ShouldContain("Disconnected");
        }
        finally
        {
            await _backend.Deployer.StartAgainAsync();
        }
    }

    [Fact]
    public async Task It_does_not_wait_for_StoreDeployer_when_it_hangs()
    {
        _backend.Deployer.Hangs = true;
        try
        {
            // The calls themselves would take five minutes.
            await _browser.OpenAsync("/resilience").WaitAsync(TimeSpan.FromSeconds(60));

            _browser.Text.ShouldContain("store-deployer is unavailable.");
        }
        finally
        {
            _backend.Deployer.Hangs = false;
        }
    }

    [Fact]
    public async Task A_hanging_registry_does_not_shorten_the_time_for_StoreDeployer()
    {
        var time = new ObservableTimeProvider(DateTimeOffset.UtcNow);
        await using var replica = await _backend.StartReplicaAsync(builder => builder
            .ConfigureServices(services => services.AddSingleton<TimeProvider>(time)).UseSetting("Templates:Patience", "00:00:02"));
        using var browser = new ConsoleBrowser(replica.Client.BaseAddress!);
        await browser.OpenAsync("/resilience");
        _backend.Registry.Instead = context => context.Request.Path == "/ready" ? Task.CompletedTask : Task.Delay(Timeout.Infinite, context.RequestAborted);
        try
        {
            var requests = _backend.Registry.Requests.Count;
            var opening = browser.OpenAsync("/resilience");
            await Eventually.TrueAsync(() => _backend.Registry.Requests.Count > requests);
            time.Advance(TimeSpan.FromSeconds(2));
            await opening.WaitAsync(TimeSpan.FromSeconds(60));

            browser.Text.ShouldNotContain("is unavailable.");
        }
        finally
        {
            _backend.Registry.Instead = null;
        }
    }

    [Fact]
    public async Task A_service_without_dead_letters_is_not_found()
    {
        await _browser.OpenAsync("/resilience");
        await _browser.SendAsync(_browser.FormTo(new Uri(_browser.Address, "/resilience/nobody/redrive"), new KeyValuePair<string, string>("type", "")), HttpStatusCode.NotFound);
    }

    private string Fact(string name) =>
        ConsoleBrowser.TextOf(_browser.Page.QuerySelectorAll("dt").First(term => ConsoleBrowser.TextOf(term) == name).NextElementSibling!);
}
