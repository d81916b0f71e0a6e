using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

[CollectionDefinition(nameof(RunningPlatform))]
public sealed class RunningPlatformCollection : ICollectionFixture<RunningPlatform>;

/// <summary>The whole system, started once for all tests that use it, on a database of its own.</summary>
public sealed class RunningPlatform : IAsyncLifetime
{
    public static readonly string[] Services = ["template-registry", "store-deployer", "backend"];
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly DataDirectory _data = new();
    private DistributedApplication? _app;

    public DistributedApplication App => _app ?? throw new InvalidOperationException("The platform has not been started.");

    public PlatformClient Client => field ??= new(App);

    public async ValueTask InitializeAsync() => _app = await StartAsync(_data);

    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
        {
            await _app.DisposeAsync();
        }

        _data.Dispose();
    }

    /// <summary>Starts the platform on a data directory and waits until all of it is healthy.</summary>
    public static async Task<DistributedApplication> StartAsync(DataDirectory data)
    {
        using var limit = new CancellationTokenSource(StartLimit);
        var builder = await DistributedApplicationTestingBuilder.CreateAsync<Projects.AppHost>([$"--DataDirectory={data.Path}", "--Database=local"], limit.Token);
        var app = await builder.BuildAsync(limit.Token);
        try
        {
            await app.StartAsync(limit.Token);
            await Task.WhenAll(Services.Select(service => app.ResourceNotifications.WaitForResourceHealthyAsync(service, limit.Token)));
            return app;
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
    }

    /// <summary>Kills the process of a resource (SIGKILL) and waits until the orchestrator has noticed.</summary>
    public async Task KillAsync(string resource)
    {
        var running = await App.ResourceNotifications.WaitForResourceAsync(resource, e => Pid(e) is not null, Cancel);
        using var process = System.Diagnostics.Process.GetProcessById(Pid(running)!.Value);
        process.Kill();
        await App.ResourceNotifications.WaitForResourceAsync(resource, KnownResourceStates.TerminalStates, Cancel);
    }

    public Task StopAsync(string resource) => ExecuteAsync(resource, "stop");

    /// <summary>Starts a resource that was killed or stopped; returns once the command was accepted.</summary>
    public Task RestartAsync(string resource) => ExecuteAsync(resource, "start");

    /// <summary>Waits until every service says of itself that it is healthy, with nothing degraded.</summary>
    public Task AllHealthyAsync() => Task.WhenAll(Services.Select(service => Eventually.Async(async () =>
    {
        using var client = App.CreateHttpClient(service);
        var report = await client.GetFromJsonAsync<JsonObject>("/health", Cancel);
        report!["status"]!.GetValue<string>().ShouldBe("healthy", report.ToJsonString());
    }, TimeSpan.FromSeconds(60), Cancel)));

    private async Task ExecuteAsync(string resource, string command)
    {
        var result = await App.ResourceCommands.ExecuteCommandAsync(resource, command, Cancel);
        result.Success.ShouldBeTrue($"{command} {resource}: {result.Message}");
    }

    private static int? Pid(ResourceEvent e) =>
        e.Snapshot.State?.Text == KnownResourceStates.Running
        && e.Snapshot.Properties.FirstOrDefault(property => property.Name == "executable.pid")?.Value is { } pid
            ? Convert.ToInt32(pid, System.Globalization.CultureInfo.InvariantCulture)
            : null;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}

/// <summary>A temporary directory, gone with its content in the end.</summary>
public sealed class DataDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("platform-tests-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
