using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc.Testing;
using Platform.TestSupport;

[assembly: AssemblyFixture(typeof(PostgresServer))]

namespace Platform.Backend.Tests;

/// <summary>Backend on a real socket with a real database of its own, and servers that play TemplateRegistry and StoreDeployer.</summary>
public sealed class BackendHost(PostgresServer server) : IAsyncLifetime
{
    public const string Token = "token-of-the-tests";
    public const string AdminKey = "admin-key-of-the-tests";

    private readonly Dictionary<string, string> _settings = [];
    private WebApplicationFactory<Program>? _factory;
    private long _sequence = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() * 1000;

    public TestDatabase Database { get; private set; } = null!;

    public RegistryStub Registry { get; } = new();

    public DeployerStub Deployer { get; } = new();

    /// <summary>The administrator's.</summary>
    public HttpClient Client { get; private set; } = null!;

    public IServiceProvider Services => _factory!.Services;

    /// <summary>Overrides a setting from the next start on.</summary>
    public void Set(string key, string value) => _settings[key] = value;

    public async ValueTask InitializeAsync()
    {
        Database = await TestDatabase.CreateAsync(server);
        await Registry.StartAsync();
        await Deployer.StartAsync();
        await StartAsync();
    }

    /// <summary>Changes what the next start makes of the service.</summary>
    public Action<IWebHostBuilder>? Configure { get; set; }

    /// <summary>Another Backend on the same database.</summary>
    public async Task<BackendReplica> StartReplicaAsync(Action<IWebHostBuilder>? configure = null)
    {
        var factory = Make(configure);
        var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false }) { BaseAddress = factory.ClientOptions.BaseAddress };
        await Eventually.Async(async () => (await client.GetAsync("/ready")).StatusCode.ShouldBe(HttpStatusCode.OK));
        return new(factory, client);
    }

    public async Task StartAsync()
    {
        _factory = Make(Configure);
        Client = _factory.CreateClient();
        Client.DefaultRequestHeaders.Authorization = new("Bearer", AdminKey);
        await Eventually.Async(async () => (await Client.GetAsync("/ready")).StatusCode.ShouldBe(HttpStatusCode.OK));
    }

    private WebApplicationFactory<Program> Make(Action<IWebHostBuilder>? configure)
    {
        var made = new WebApplicationFactory<Program>().WithWebHostBuilder(builder =>
        {
            builder.UseSetting("ConnectionStrings:backend-db", Database.ConnectionString);
            builder.UseSetting("urls", "http://127.0.0.1:0");
            builder.UseSetting("services:template-registry:http:0", Registry.Address.ToString());
            builder.UseSetting("services:store-deployer:http:0", Deployer.Address.ToString());
            builder.UseSetting("InternalToken", Token);
            builder.UseSetting("AdminKey", AdminKey);
            // Every call asks the registry again, so that no test has to wait until an answer is stale.
            builder.UseSetting("Templates:FreshFor", "00:00:00");
            builder.UseSetting("Templates:AskAgainAfter", "00:00:00");
            builder.UseSetting("Logging:LogLevel:Default", "Warning");
            // A busy machine must not be mistaken for an unavailable database.
            builder.UseSetting("Database:ConnectTimeout", "30");
            builder.UseSetting("Database:CommandTimeout", "30");
            // Nor must it be mistaken for a registry that hangs.
            builder.UseSetting("Templates:Patience", "00:01:00");
            builder.UseSetting("Services:template-registry:AttemptTimeout", "00:01:00");
            builder.UseSetting("Services:template-registry:ReadTimeout", "00:02:00");
            builder.UseSetting("Services:template-registry:WriteTimeout", "00:02:00");
            foreach (var (key, value) in _settings)
                builder.UseSetting(key, value);
            configure?.Invoke(builder);
        });
        made.UseKestrel();
        made.StartServer();
        return made;
    }

    /// <summary>A client of whoever has the key, or of somebody without one.</summary>
    public HttpClient Connect(string? key)
    {
        var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false }) { BaseAddress = _factory!.ClientOptions.BaseAddress };
        if (key is not null)
            client.DefaultRequestHeaders.Authorization = new("Bearer", key);
        return client;
    }

    /// <summary>Makes a key, of a new owner unless one is given.</summary>
    public async Task<JsonObject> MakeKeyAsync(string scope, Guid? owner = null, string? name = null)
    {
        using var response = await Client.PostAsJsonAsync("/api/keys", new JsonObject
        {
            ["name"] = name ?? $"{scope} key",
            ["scopes"] = new JsonArray(scope),
            [owner is null ? "owner" : "ownerId"] = owner is null ? new JsonObject { ["name"] = $"Owner {Guid.NewGuid():n}"[..16] } : owner.ToString(),
        });
        return await response.ReadAsync(HttpStatusCode.Created);
    }

    public async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        await Registry.DisposeAsync();
        await Deployer.DisposeAsync();
        await Database.DisposeAsync();
    }

    /// <summary>A shop with a slug of its own, in the form in which a client sends it.</summary>
    public static JsonObject NewShop(string? slug = null, string? name = null) => new()
    {
        ["slug"] = slug ?? $"shop-{Guid.NewGuid():n}"[..20],
        ["name"] = name ?? "Blue Mug Co.",
        ["template"] = new JsonObject { ["name"] = "aurora" },
        ["settings"] = new JsonObject { ["accent"] = "#0f766e" },
        ["products"] = new JsonArray(new JsonObject { ["sku"] = "MUG-1", ["name"] = "Mug", ["price"] = 12.5, ["currency"] = "EUR" }),
    };

    public async Task<JsonObject> CreateShopAsync(string? slug = null)
    {
        using var response = await Client.PostAsJsonAsync("/api/shops", NewShop(slug));
        return await response.ReadAsync(HttpStatusCode.Created);
    }

    public async Task<JsonObject> DeployAsync(JsonObject shop)
    {
        using var response = await Client.PostAsync($"/api/shops/{shop.Id()}/deployments", null);
        return await response.ReadAsync(HttpStatusCode.Accepted);
    }

    /// <summary>Creates a shop and has StoreDeployer say that a deployment of it went live.</summary>
    public async Task<(JsonObject Shop, JsonObject Deployment)> CreateLiveShopAsync()
    {
        var shop = await CreateShopAsync();
        var deployment = await DeployAsync(shop);
        await FinishAsync(deployment, "live", Guid.CreateVersion7());
        return (shop, deployment);
    }

    public Task ProgressAsync(JsonObject deployment, string status = "running", params string[] steps) =>
        TellAsync("deployment.progressed", deployment["shopId"]!.GetValue<Guid>(), new
        {
            deploymentId = deployment.Id(),
            status,
            steps = steps.Select(step => new { name = step, startedAt = DateTimeOffset.UtcNow, attempts = 1 }),
            at = DateTimeOffset.UtcNow,
        });

    public Task FinishAsync(JsonObject deployment, string status, Guid? release = null, object? error = null) =>
        TellAsync("deployment.finished", deployment["shopId"]!.GetValue<Guid>(), new
        {
            deploymentId = deployment.Id(),
            status,
            steps = new[] { new { name = "fetch", startedAt = DateTimeOffset.UtcNow, finishedAt = DateTimeOffset.UtcNow, attempts = 1 } },
            url = status == "live" ? "http://stores.test/stores/some-shop/" : null,
            release,
            error,
            finishedAt = DateTimeOffset.UtcNow,
        });

    /// <summary>Sends a message as StoreDeployer would, and expects it to be taken.</summary>
    public async Task TellAsync(string type, Guid shopId, object data, long? sequence = null)
    {
        using var response = await SendMessageAsync(type, shopId, data, sequence);
        response.StatusCode.ShouldBe(HttpStatusCode.Accepted, await response.Content.ReadAsStringAsync());
    }

    public async Task<HttpResponseMessage> SendMessageAsync(string type, Guid shopId, object data, long? sequence = null)
    {
        var message = new
        {
            specversion = "1.0",
            id = Guid.CreateVersion7().ToString(),
            source = "store-deployer",
            type,
            subject = shopId.ToString(),
            time = DateTimeOffset.UtcNow,
            partitionkey = shopId,
            sequence = (sequence ?? Interlocked.Increment(ref _sequence)).ToString(System.Globalization.CultureInfo.InvariantCulture),
            data,
        };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/messages")
        {
            Content = new StringContent(JsonSerializer.Serialize(message, JsonSerializerOptions.Web), MediaTypeHeaderValue.Parse("application/cloudevents+json")),
            Headers = { { "X-Internal-Token", Token } },
        };
        return await Client.SendAsync(request);
    }

    private async Task StopAsync()
    {
        if (_factory is not null)
            await _factory.DisposeAsync();
        _factory = null;
    }
}

/// <summary>Another Backend on the database of a <see cref="BackendHost"/>.</summary>
public sealed class BackendReplica(WebApplicationFactory<Program> factory, HttpClient client) : IAsyncDisposable
{
    public HttpClient Client => client;

    public async ValueTask DisposeAsync()
    {
        client.Dispose();
        await factory.DisposeAsync();
    }
}

/// <summary>Plays TemplateRegistry: one template, "aurora", and whatever a test adds.</summary>
public sealed class RegistryStub : IAsyncDisposable
{
    private StubService? _service;

    public Uri Address => _service!.Address;

    public IReadOnlyList<ReceivedRequest> Requests => _service!.Requests;

    /// <summary>By name, the versions in the order of their publication.</summary>
    public Dictionary<string, List<JsonObject>> Templates { get; } = new()
    {
        ["aurora"] = [Version("aurora", "1.0.0"), Version("aurora", "1.1.0")],
    };

    /// <summary>Answers every request in place of the templates, when set.</summary>
    public Func<HttpContext, Task>? Instead { get; set; }

    public static JsonObject Version(string name, string version, string status = "published", JsonArray? parameters = null) => new()
    {
        ["name"] = name,
        ["version"] = version,
        ["digest"] = $"sha256:{Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes($"{name} {version}")))}",
        ["size"] = 1234,
        ["title"] = $"{name} {version}",
        ["description"] = "A template of the tests.",
        ["publishedAt"] = "2026-01-02T03:04:05Z",
        ["status"] = status,
        ["parameters"] = parameters ?? new JsonArray(
            new JsonObject { ["name"] = "tagline", ["type"] = "text", ["label"] = "Tagline", ["maxLength"] = 40, ["required"] = false },
            new JsonObject { ["name"] = "accent", ["type"] = "color", ["label"] = "Accent", ["default"] = "#112233", ["required"] = false },
            new JsonObject { ["name"] = "columns", ["type"] = "number", ["label"] = "Columns", ["min"] = 1, ["max"] = 6, ["step"] = 1, ["default"] = 3, ["required"] = false }),
    };

    public async Task StartAsync() => _service = await StubService.StartAsync(app => app.Run(context => (Instead ?? AnswerAsync)(context)));

    public Task StopAsync() => _service!.StopAsync();

    public Task StartAgainAsync() => _service!.StartAgainAsync();

    public async ValueTask DisposeAsync()
    {
        if (_service is not null)
            await _service.DisposeAsync();
    }

    private Task AnswerAsync(HttpContext context) => context.Request.Path.Value!.Trim('/').Split('/') switch
    {
        ["ready"] => Task.CompletedTask,
        ["templates"] => context.Response.WriteAsJsonAsync(new JsonObject { ["items"] = new JsonArray([.. Templates.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => Summary(pair.Value))]) }),
        ["templates", var name] when Templates.TryGetValue(name, out var versions) => context.Response.WriteAsJsonAsync(Summary(versions)),
        ["templates", var name, "versions", var version] when Templates.TryGetValue(name, out var versions)
            && versions.Find(v => (string)v["version"]! == version) is { } found => context.Response.WriteAsJsonAsync(found),
        _ => Results.Problem(statusCode: 404).ExecuteAsync(context),
    };

    private static JsonObject Summary(List<JsonObject> versions)
    {
        var offered = versions.Where(version => (string)version["status"]! != "yanked").Reverse().ToList();
        return new JsonObject
        {
            ["name"] = (string)versions[0]["name"]!,
            ["title"] = (string)versions[^1]["title"]!,
            ["description"] = (string)versions[^1]["description"]!,
            ["latestVersion"] = offered.Count > 0 ? (string)offered[0]["version"]! : null,
            ["versions"] = new JsonArray([.. offered.Select(version => new JsonObject
            {
                ["version"] = (string)version["version"]!,
                ["digest"] = (string)version["digest"]!,
                ["publishedAt"] = (string)version["publishedAt"]!,
                ["status"] = (string)version["status"]!,
            })]),
        };
    }
}

/// <summary>Plays StoreDeployer: takes messages and remembers them, and has of its own what a test says.</summary>
public sealed class DeployerStub : IAsyncDisposable
{
    private StubService? _service;

    public Uri Address => _service!.Address;

    /// <summary>Refuses messages for good while it is set.</summary>
    public bool Refuses { get; set; }

    /// <summary>Does not answer what it is asked, while it is set.</summary>
    public bool Hangs { get; set; }

    public JsonArray Backlog { get; set; } = [];

    public JsonArray DeadLetters { get; set; } = [];

    /// <summary>The paths of what was decided on its dead letters, in order.</summary>
    public IReadOnlyList<string> Decisions => [.. _service!.Requests.Where(request => request.Path.StartsWith("/dead-letters/", StringComparison.Ordinal)).Select(request => request.Path)];

    /// <summary>What was sent about a shop, in order and each message once.</summary>
    public IReadOnlyList<JsonObject> MessagesOf(Guid shopId) => [.. _service!.Requests
        .Where(request => request.Path == "/messages")
        .Select(request => JsonNode.Parse(request.Text)!.AsObject())
        .Where(message => (string)message["partitionkey"]! == shopId.ToString())
        .DistinctBy(message => (string)message["id"]!)];

    /// <summary>Waits for a message of a type about a shop.</summary>
    public Task<JsonObject> MessageAsync(Guid shopId, string type) =>
        Eventually.Async(() => Task.FromResult(MessagesOf(shopId).First(message => (string)message["type"]! == type)));

    public async Task StartAsync() => _service = await StubService.StartAsync(app =>
    {
        app.MapGet("/ready", () => Results.Ok());
        app.MapPost("/messages", () => Refuses ? Results.Problem("no such template", statusCode: 422) : Results.Accepted());
        app.MapGet("/backlog", async (CancellationToken cancellationToken) =>
        {
            await (Hangs ? Task.Delay(Timeout.Infinite, cancellationToken) : Task.CompletedTask);
            return Results.Json(Backlog);
        });
        app.MapGet("/dead-letters", () => Results.Json(new JsonObject { ["items"] = DeadLetters.DeepClone() }));
        app.MapPost("/dead-letters/{id}/{decision}", () => Results.Accepted());
    });

    public Task StopAsync() => _service!.StopAsync();

    public Task StartAgainAsync() => _service!.StartAgainAsync();

    public async ValueTask DisposeAsync()
    {
        if (_service is not null)
            await _service.DisposeAsync();
    }
}

internal static class Answers
{
    public static Guid Id(this JsonObject json) => json["id"]!.GetValue<Guid>();

    /// <summary>The body, after checking the status.</summary>
    public static async Task<JsonObject> ReadAsync(this HttpResponseMessage response, HttpStatusCode expected)
    {
        var text = await response.Content.ReadAsStringAsync();
        response.StatusCode.ShouldBe(expected, text);
        return JsonNode.Parse(text)!.AsObject();
    }

    /// <summary>The problem, after checking that it is one of the platform's.</summary>
    public static async Task<JsonObject> ReadProblemAsync(this HttpResponseMessage response, HttpStatusCode expected)
    {
        var problem = await response.ReadAsync(expected);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        problem["status"]!.GetValue<int>().ShouldBe((int)expected);
        ((string?)problem["detail"]).ShouldNotBeNullOrWhiteSpace();
        ((string?)problem["traceId"]).ShouldNotBeNullOrWhiteSpace();
        ((string?)problem["correlationId"]).ShouldNotBeNullOrWhiteSpace();
        return problem;
    }

    /// <summary>The names of the bad fields of a 400.</summary>
    public static async Task<IReadOnlyList<string>> ReadBadFieldsAsync(this HttpResponseMessage response) =>
        [.. (await response.ReadProblemAsync(HttpStatusCode.BadRequest))["errors"]!.AsObject().Select(field => field.Key)];
}
