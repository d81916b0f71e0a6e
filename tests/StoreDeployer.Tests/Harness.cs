using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.Extensions.DependencyInjection;
using Platform.ServiceDefaults;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

[assembly: AssemblyFixture(typeof(PostgresServer))]

namespace Platform.StoreDeployer.Tests;

/// <summary>The other services, as real servers: a registry that serves bundles, and a Backend that collects messages.</summary>
public sealed class Neighbours : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, byte[]> _bundles = new();
    private volatile TaskCompletionSource _open = Completed();
    private int _fetches;

    private Neighbours()
    {
    }

    public StubService Registry { get; private set; } = null!;

    public StubService Backend { get; private set; } = null!;

    /// <summary>Bundles that were requested, including those whose response is still held.</summary>
    public int Fetches => Volatile.Read(ref _fetches);

    public static async Task<Neighbours> StartAsync()
    {
        var neighbours = new Neighbours();
        neighbours.Registry = await StubService.StartAsync(app => app.MapGet("/bundles/{digest}", neighbours.GetBundleAsync));
        neighbours.Backend = await StubService.StartAsync(app => app.MapPost("/messages", () => Results.Accepted()));
        return neighbours;
    }

    /// <summary>Adds a template to the registry.</summary>
    /// <returns>Its digest.</returns>
    public string Publish(IReadOnlyDictionary<string, string>? entries = null, byte[]? instead = null)
    {
        var zip = Bundles.Zip(entries ?? Bundles.Entries());
        var digest = $"sha256:{FileDigest.Of(zip)}";
        _bundles[digest] = instead ?? zip;
        return digest;
    }

    /// <summary>Holds the responses with bundles until <see cref="Open"/> is called.</summary>
    public void HoldUp() => _open = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Open() => _open.TrySetResult();

    /// <summary>The data of the messages that Backend received about a subject, in order.</summary>
    public IReadOnlyList<(string Type, JsonElement Data)> MessagesAbout(Guid subject) =>
        [.. Backend.Requests.Where(request => request.Path == "/messages").Select(request => JsonDocument.Parse(request.Body).RootElement)
            .Where(message => message.GetProperty("subject").GetString() == subject.ToString())
            .DistinctBy(message => message.GetProperty("id").GetString())
            .Select(message => (message.GetProperty("type").GetString()!, message.GetProperty("data")))];

    /// <summary>The message that says how a deployment ended.</summary>
    public Task<JsonElement> FinishedAsync(Guid deployment) => Eventually.Async(() => Task.FromResult(
        MessagesAbout(deployment).Single(message => message.Type == "deployment.finished").Data));

    public async ValueTask DisposeAsync()
    {
        Open();
        await Registry.DisposeAsync();
        await Backend.DisposeAsync();
    }

    private async Task<IResult> GetBundleAsync(string digest, HttpContext context)
    {
        Interlocked.Increment(ref _fetches);
        await _open.Task.WaitAsync(context.RequestAborted);
        return _bundles.TryGetValue(digest, out var bundle) ? Results.Bytes(bundle, "application/zip") : Results.NotFound();
    }

    private static TaskCompletionSource Completed()
    {
        var completed = new TaskCompletionSource();
        completed.SetResult();
        return completed;
    }
}

/// <summary>A client of a StoreDeployer.</summary>
public abstract class DeployerClient
{
    public const string Token = "deployer-tests";
    private static long _sequence;

    public abstract HttpClient Http { get; }

    /// <summary>Requests a deployment like Backend does.</summary>
    public async Task<Guid> RequestAsync(
        Guid shop, string slug, string? digest, string name = "Mug shop", string kind = "deployment", int priority = 2, Guid? rollbackTo = null, object[]? products = null, object? settings = null)
    {
        var deployment = Guid.CreateVersion7();
        await SendAsync("deployment.requested", shop, deployment, DeploymentRequested(deployment, shop, slug, digest, name, kind, priority, rollbackTo, products, settings));
        return deployment;
    }

    public static object DeploymentRequested(
        Guid deployment, Guid shop, string slug, string? digest, string name = "Mug shop", string kind = "deployment", int priority = 2, Guid? rollbackTo = null, object[]? products = null, object? settings = null) => new
        {
            deploymentId = deployment,
            shopId = shop,
            slug,
            kind,
            priority,
            template = new { name = "plain", version = "1.0.0", digest = digest ?? $"sha256:{new string('0', 64)}" },
            shop = new { name, settings = settings ?? new { }, products = products ?? [new { sku = "A-1", name = "Mug", price = 12.5m, currency = "EUR" }] },
            rollbackTo,
            requestedAt = DateTimeOffset.UtcNow,
        };

    public Task CancelAsync(Guid shop, Guid deployment) => SendAsync("deployment.cancel-requested", shop, deployment, new { deploymentId = deployment });

    public Task RetryAsync(Guid shop, Guid deployment) => SendAsync("deployment.retry-requested", shop, deployment, new { deploymentId = deployment });

    public Task DeleteShopAsync(Guid shop, string slug) => SendAsync("shop.deleted", shop, shop, new { shopId = shop, slug });

    public async Task SendAsync(string type, Guid shop, Guid subject, object data, Guid? id = null, long? sequence = null)
    {
        using var response = await TrySendAsync(type, shop, subject, data, id, sequence);
        ((int)response.StatusCode).ShouldBe(202, await response.Content.ReadAsStringAsync());
    }

    /// <summary>Sends a message like Backend does, and returns the response of any status.</summary>
    public async Task<HttpResponseMessage> TrySendAsync(string type, Guid shop, Guid subject, object data, Guid? id = null, long? sequence = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/messages")
        {
            Content = JsonContent.Create(new
            {
                specversion = "1.0",
                id = (id ?? Guid.CreateVersion7()).ToString(),
                source = "backend",
                type,
                subject = subject.ToString(),
                time = DateTimeOffset.UtcNow,
                datacontenttype = "application/json",
                partitionkey = shop,
                sequence = (sequence ?? Interlocked.Increment(ref _sequence)).ToString(CultureInfo.InvariantCulture),
                correlationid = $"test-{subject:n}",
                data,
            }, new System.Net.Http.Headers.MediaTypeHeaderValue("application/cloudevents+json"), PlatformJson.Tolerant),
        };
        request.Headers.Add("X-Internal-Token", Token);
        return await Http.SendAsync(request);
    }

    public async Task<JsonElement> DeploymentAsync(Guid id)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/deployments/{id}");
        request.Headers.Add("X-Internal-Token", Token);
        using var response = await Http.SendAsync(request);
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadFromJsonAsync<JsonElement>(PlatformJson.Tolerant);
    }

    public Task StatusBecomesAsync(Guid id, string status) => Eventually.Async(async () =>
        (await DeploymentAsync(id)).GetProperty("status").GetString().ShouldBe(status));

    public async Task<string> PageAsync(string slug, string path = "")
    {
        using var response = await Http.GetAsync(new Uri($"/stores/{slug}/{path}", UriKind.Relative));
        ((int)response.StatusCode).ShouldBe(200);
        return await response.Content.ReadAsStringAsync();
    }

    internal static Dictionary<string, string?> Settings(string connectionString, Neighbours neighbours, string cache, params (string Key, string Value)[] more)
    {
        var settings = new Dictionary<string, string?>
        {
            ["ConnectionStrings:deployer-db"] = connectionString,
            ["services:template-registry:http:0"] = neighbours.Registry.Address.ToString(),
            ["services:backend:http:0"] = neighbours.Backend.Address.ToString(),
            ["InternalToken"] = Token,
            ["Stores:CacheDirectory"] = cache,
            ["Stores:PublicUrl"] = "https://shops.example",
            ["Deployments:MaxBackOff"] = "00:00:00.5",
            ["Shutdown:DrainDelay"] = "00:00:00",
            ["Logging:LogLevel:Default"] = "Warning",
            // Long time-outs, so that a busy machine doesn't cause a 503.
            ["Database:ConnectTimeout"] = "30",
            ["Database:CommandTimeout"] = "30",
        };
        foreach (var (key, value) in more)
            settings[key] = value;
        return settings;
    }
}

/// <summary>A StoreDeployer in this process, on real Kestrel.</summary>
public sealed class DeployerHost : DeployerClient, IAsyncDisposable
{
    private readonly Factory _factory;

    public DeployerHost(string connectionString, Neighbours neighbours, params (string Key, string Value)[] settings)
    {
        CacheDirectory = Path.Combine(Path.GetTempPath(), "store-deployer-tests", Guid.NewGuid().ToString("n"));
        var all = Settings(connectionString, neighbours, CacheDirectory, settings);
        CacheDirectory = all["Stores:CacheDirectory"]!;
        _factory = new Factory(all);
        // No port is given here: the factory would set it on a server that may have started in the meantime.
        _factory.UseKestrel();
        _factory.StartServer();
        // Not the factory's client: on real sockets it follows redirects regardless of its options.
        Http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = _factory.ClientOptions.BaseAddress };
    }

    public string CacheDirectory { get; }

    public override HttpClient Http { get; }

    public IServiceProvider Services => _factory.Services;

    public Task ReadyAsync() => Eventually.Async(async () => ((int)(await Http.GetAsync(new Uri("/ready", UriKind.Relative))).StatusCode).ShouldBe(200));

    /// <summary>Stops it and keeps its cache.</summary>
    public async Task StopAsync()
    {
        Http.Dispose();
        await _factory.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        if (Directory.Exists(CacheDirectory))
            Directory.Delete(CacheDirectory, recursive: true);
    }

    private sealed class Factory(IReadOnlyDictionary<string, string?> settings) : WebApplicationFactory<Program>
    {
        protected override void ConfigureWebHost(IWebHostBuilder builder)
        {
            builder.UseSetting("urls", "http://127.0.0.1:0");
            foreach (var (key, value) in settings)
                builder.UseSetting(key, value);
        }
    }
}

/// <summary>A StoreDeployer with its neighbours and its database, for the tests of a class, each of which uses a shop of its own.</summary>
public abstract class SharedDeployer(PostgresServer server, params (string Key, string Value)[] settings) : IAsyncLifetime
{
    public TestDatabase Database { get; } = new(server);

    public Neighbours Neighbours { get; private set; } = null!;

    public DeployerHost Deployer { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        await Database.InitializeAsync();
        Neighbours = await Neighbours.StartAsync();
        Deployer = new DeployerHost(Database.ConnectionString, Neighbours, settings);
        await Deployer.ReadyAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Deployer.DisposeAsync();
        await Neighbours.DisposeAsync();
        await Database.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

/// <summary>A StoreDeployer in a separate process, which can be killed and paused.</summary>
public sealed class DeployerProcess : DeployerClient, IAsyncDisposable
{
    private readonly Process _process;
    private readonly string _cache = Path.Combine(Path.GetTempPath(), "store-deployer-tests", Guid.NewGuid().ToString("n"));
    private readonly ConcurrentQueue<string> _output = new();

    private DeployerProcess(string connectionString, Neighbours neighbours, (string Key, string Value)[] settings)
    {
        var port = FreePort.Next();
        Http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        var start = new ProcessStartInfo("dotnet")
        {
            ArgumentList = { Path.Combine(AppContext.BaseDirectory, "StoreDeployer.dll") },
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["ASPNETCORE_URLS"] = $"http://127.0.0.1:{port}", ["DOTNET_ENVIRONMENT"] = "Development" },
        };
        foreach (var (key, value) in Settings(connectionString, neighbours, _cache, settings))
            start.Environment[key.Replace(":", "__", StringComparison.Ordinal)] = value;
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => _output.Enqueue(line.Data ?? "");
        _process.ErrorDataReceived += (_, line) => _output.Enqueue(line.Data ?? "");
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public override HttpClient Http { get; }

    public string Output => string.Join('\n', _output);

    public static async Task<DeployerProcess> StartAsync(string connectionString, Neighbours neighbours, params (string Key, string Value)[] settings)
    {
        var process = new DeployerProcess(connectionString, neighbours, settings);
        await Eventually.Async(async () =>
        {
            process._process.HasExited.ShouldBeFalse(process.Output);
            ((int)(await process.Http.GetAsync(new Uri("/ready", UriKind.Relative))).StatusCode).ShouldBe(200);
        }, TimeSpan.FromMinutes(3));
        return process;
    }

    public void Kill() => _process.Kill();

    public Task PauseAsync() => SignalAsync("STOP");

    public Task ContinueAsync() => SignalAsync("CONT");

    /// <summary>Sends SIGTERM, and waits for the process to exit.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> TerminateAsync()
    {
        await SignalAsync("TERM");
        await _process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60));
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        if (Directory.Exists(_cache))
            Directory.Delete(_cache, recursive: true);
    }

    private async Task SignalAsync(string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", _process.Id.ToString(CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync();
        kill.ExitCode.ShouldBe(0);
    }
}
