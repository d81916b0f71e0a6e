using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Npgsql;
using Platform.TestSupport;

namespace Platform.Benchmarks.Deployments;

/// <summary>The platform as processes on a PostgreSQL of its own (with <c>fsync</c> and <c>synchronous_commit</c>): a Backend, a TemplateRegistry and any number of StoreDeployers.</summary>
internal sealed class LocalPlatform : IAsyncDisposable
{
    private const string Token = "benchmark";
    private const string AdminKey = "benchmark-admin";

    private readonly PostgresServer _postgres = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("platform-benchmark-").FullName;
    private readonly HttpClient _http = new(new SocketsHttpHandler { MaxConnectionsPerServer = 64 }) { DefaultRequestHeaders = { { "Authorization", $"Bearer {AdminKey}" } } };
    private ServiceProcess _registry = null!;
    private ServiceProcess _backend = null!;

    /// <summary>The StoreDeployers. Pages are read from the first one.</summary>
    public List<ServiceProcess> Deployers { get; } = [];

    public NpgsqlDataSource DeployerDb { get; private set; } = null!;

    public static async Task<LocalPlatform> StartAsync(int deployers)
    {
        var platform = new LocalPlatform();
        try
        {
            await platform.StartAllAsync(deployers);
            return platform;
        }
        catch
        {
            await platform.DisposeAsync();
            throw;
        }
    }

    public string ConnectionStringTo(string database) => _postgres.ConnectionStringTo(database);

    public Uri StoreOf(string slug) => new($"http://127.0.0.1:{Deployers[0].Port}/stores/{slug}/");

    /// <summary>Adds a StoreDeployer without starting it.</summary>
    public ServiceProcess AddDeployer(params (string Key, string Value)[] settings)
    {
        var index = Deployers.Count;
        var deployer = new ServiceProcess($"store-deployer-{index}", "StoreDeployer", Path.Combine(_folder, $"deployer-{index}"))
        {
            Settings = () => Settings("deployer", [
                ("services__backend__http__0", $"http://127.0.0.1:{_backend.Port}"),
                ("services__template-registry__http__0", $"http://127.0.0.1:{_registry.Port}"),
                ("Stores__CacheDirectory", Path.Combine(_folder, $"deployer-{index}", "cache")),
                .. settings]),
        };
        Deployers.Add(deployer);
        return deployer;
    }

    public async Task PublishAsync(BenchmarkTemplate template)
    {
        using var bundle = new ByteArrayContent(template.Bundle()) { Headers = { ContentType = new MediaTypeHeaderValue("application/zip") } };
        using var request = new HttpRequestMessage(HttpMethod.Put, $"http://127.0.0.1:{_registry.Port}/templates/{template.Name}/versions/{template.Version}") { Content = bundle };
        request.Headers.Add("X-Internal-Token", Token);
        using var response = await _http.SendAsync(request);
        await EnsureAsync(response);
    }

    public async Task<Guid> CreateShopAsync(string slug, string name, BenchmarkTemplate template)
    {
        using var response = await _http.PostAsJsonAsync(Backend("/api/shops"), Shop(slug, name, template));
        await EnsureAsync(response);
        return (await response.Content.ReadFromJsonAsync<JsonObject>())!["id"]!.GetValue<Guid>();
    }

    public async Task RenameAsync(Guid shop, string slug, string name, BenchmarkTemplate template)
    {
        using var before = await _http.GetAsync(Backend($"/api/shops/{shop}"));
        using var request = new HttpRequestMessage(HttpMethod.Put, Backend($"/api/shops/{shop}")) { Content = JsonContent.Create(Shop(slug, name, template)) };
        request.Headers.IfMatch.Add(before.Headers.ETag!);
        using var response = await _http.SendAsync(request);
        await EnsureAsync(response);
    }

    /// <summary>Requests a deployment or, if <paramref name="what"/> is <c>rollback</c>, a rollback to the previous release.</summary>
    /// <returns>The deployment's id.</returns>
    public async Task<Guid> RequestAsync(Guid shop, string what = "deployments", string? version = null)
    {
        using var response = await _http.PostAsJsonAsync(Backend($"/api/shops/{shop}/{what}"), version is null ? [] : new JsonObject { ["version"] = version });
        await EnsureAsync(response);
        return (await response.Content.ReadFromJsonAsync<JsonObject>())!["id"]!.GetValue<Guid>();
    }

    /// <summary>Waits until Backend knows that the deployment is live, which is shortly after its page is served.</summary>
    public async Task KnownToBeLiveAsync(Guid deployment)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while ((await _http.GetFromJsonAsync<JsonObject>(Backend($"/api/deployments/{deployment}"), limit.Token))!["status"]!.GetValue<string>() != "live")
        {
            await Task.Delay(1, limit.Token);
        }
    }

    /// <summary>Sends a StoreDeployer the message that requests a shop's first deployment, like Backend does.</summary>
    public async Task SendDeploymentAsync(ServiceProcess deployer, string slug, string digest, BenchmarkTemplate template)
    {
        var (deployment, shop) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{deployer.Port}/messages")
        {
            Content = JsonContent.Create(new
            {
                specversion = "1.0",
                id = Guid.CreateVersion7().ToString(),
                source = "backend",
                type = "deployment.requested",
                subject = deployment.ToString(),
                time = DateTimeOffset.UtcNow,
                datacontenttype = "application/json",
                partitionkey = shop,
                sequence = "1",
                correlationid = slug,
                data = new
                {
                    deploymentId = deployment,
                    shopId = shop,
                    slug,
                    kind = "deployment",
                    priority = 1,
                    template = new { name = template.Name, version = template.Version, digest },
                    shop = new { name = slug, settings = new { }, products = Array.Empty<object>() },
                    requestedAt = DateTimeOffset.UtcNow,
                },
            }, new MediaTypeHeaderValue("application/cloudevents+json")),
        };
        request.Headers.Add("X-Internal-Token", Token);
        using var response = await _http.SendAsync(request);
        await EnsureAsync(response);
    }

    public async Task<string> DigestOfAsync(BenchmarkTemplate template)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{_registry.Port}/templates/{template.Name}/versions/{template.Version}");
        request.Headers.Add("X-Internal-Token", Token);
        using var response = await _http.SendAsync(request);
        await EnsureAsync(response);
        return (await response.Content.ReadFromJsonAsync<JsonObject>())!["digest"]!.GetValue<string>();
    }

    /// <summary>Polls the store's first page until it contains <paramref name="text"/>.</summary>
    public async Task ServedAsync(string slug, string text, ServiceProcess? deployer = null)
    {
        var address = new Uri($"http://127.0.0.1:{(deployer ?? Deployers[0]).Port}/stores/{slug}/");
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        try
        {
            while (true)
            {
                using var response = await _http.GetAsync(address, limit.Token);
                if (response.StatusCode == HttpStatusCode.OK && (await response.Content.ReadAsStringAsync(limit.Token)).Contains(text, StringComparison.Ordinal))
                {
                    return;
                }

                await Task.Delay(2, limit.Token);
            }
        }
        catch (OperationCanceledException exception)
        {
            await using var command = DeployerDb.CreateCommand("select string_agg(concat_ws(' ', kind, status, error), ', ' order by sequence) from deployments where slug = $1");
            command.Parameters.Add(new() { Value = slug });
            throw new InvalidOperationException($"The first page of {slug} does not have '{text}' after 60 s. Its deployments: {await command.ExecuteScalarAsync(CancellationToken.None)}.", exception);
        }
    }

    public Task<HttpResponseMessage> ReadAsync(Uri address) => _http.GetAsync(address);

    public async ValueTask DisposeAsync()
    {
        foreach (var process in (ServiceProcess?[])[.. Deployers, _backend, _registry])
        {
            await (process?.DisposeAsync() ?? ValueTask.CompletedTask);
        }

        await (DeployerDb?.DisposeAsync() ?? ValueTask.CompletedTask);
        await _postgres.DisposeAsync();
        _http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static JsonObject Shop(string slug, string name, BenchmarkTemplate template) => new()
    {
        ["slug"] = slug,
        ["name"] = name,
        ["template"] = new JsonObject { ["name"] = template.Name, ["version"] = template.Version },
        ["settings"] = new JsonObject(),
        ["products"] = new JsonArray(),
    };

    private static async Task EnsureAsync(HttpResponseMessage response)
    {
        if (!response.IsSuccessStatusCode)
        {
            throw new InvalidOperationException($"{response.RequestMessage!.Method} {response.RequestMessage.RequestUri}: {(int)response.StatusCode} {await response.Content.ReadAsStringAsync()}");
        }
    }

    private Uri Backend(string path) => new($"http://127.0.0.1:{_backend.Port}{path}");

    private async Task StartAllAsync(int deployers)
    {
        await _postgres.StartAsync();
        await using (var admin = new NpgsqlConnection(ConnectionStringTo("postgres") + ";Pooling=false"))
        {
            await admin.OpenAsync();
            foreach (var database in (string[])["backend", "deployer", "registry", "queue", "jobs"])
            {
                await using var command = new NpgsqlCommand($"create database {database}", admin);
                await command.ExecuteNonQueryAsync();
            }
        }

        DeployerDb = NpgsqlDataSource.Create(ConnectionStringTo("deployer"));
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        _registry = new("template-registry", "TemplateRegistry", Path.Combine(_folder, "registry")) { Settings = () => Settings("registry", []) };
        _backend = new("backend", "Backend", Path.Combine(_folder, "backend"))
        {
            Settings = () => Settings("backend", [
                ("services__template-registry__http__0", $"http://127.0.0.1:{_registry.Port}"),
                ("services__store-deployer__http__0", $"http://127.0.0.1:{Deployers[0].Port}")]),
        };
        for (var n = 0; n < deployers; n++)
        {
            AddDeployer();
        }

        List<ServiceProcess> all = [_registry, _backend, .. Deployers];
        all.ForEach(process => process.Start());
        await Task.WhenAll(all.Select(process => process.ReadyAsync(limit.Token)));
    }

    private Dictionary<string, string> Settings(string database, IEnumerable<(string Key, string Value)> more)
    {
        var settings = new Dictionary<string, string>
        {
            ["DOTNET_ENVIRONMENT"] = "Production",
            ["InternalToken"] = Token,
            ["AdminKey"] = AdminKey,
            ["Logging__LogLevel__Default"] = "Warning",
            ["Admission__RatePerSecond"] = "1000000",
            ["Admission__Burst"] = "1000000",
            [$"ConnectionStrings__{database}-db"] = ConnectionStringTo(database),
        };
        foreach (var (key, value) in more)
        {
            settings[key] = value;
        }

        return settings;
    }
}
