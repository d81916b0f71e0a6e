using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Microsoft.Extensions.DependencyInjection;
using Platform.ResilienceTesting;
using Platform.TestSupport;
using Xunit.Sdk;
using Xunit.v3;

[assembly: TestCollectionOrderer(typeof(Platform.AppHost.Tests.PlatformFirst))]

namespace Platform.AppHost.Tests;

/// <summary>The tests of the running platform take longest: the others fit in beside them.</summary>
public sealed class PlatformFirst : ITestCollectionOrderer
{
    public IReadOnlyCollection<TTestCollection> OrderTestCollections<TTestCollection>(IReadOnlyCollection<TTestCollection> testCollections)
        where TTestCollection : ITestCollection =>
        [.. testCollections.OrderBy(collection => collection.TestCollectionDisplayName == nameof(RunningPlatform) ? 0 : 1)];
}

[CollectionDefinition(nameof(RunningPlatform))]
public sealed class RunningPlatformCollection : ICollectionFixture<RunningPlatform>;

/// <summary>The whole system with its dashboard, started once for all tests that use it, on a database of its own.</summary>
public sealed class RunningPlatform : IAsyncLifetime
{
    public static readonly string[] Services = ["template-registry", "store-deployer", "backend"];
    public const string BrowserToken = "the-browser-token";
    public const string DashboardApiKey = "the-api-key";

    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly DataDirectory _data = new();
    private DistributedApplication? _app;

    public DistributedApplication App => _app ?? throw new InvalidOperationException("The platform has not been started.");

    public PlatformClient Client { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        using var limit = new CancellationTokenSource(StartLimit);
        var builder = await DistributedApplicationTestingBuilder.CreateAsync<Projects.AppHost>(
            [
                $"--DataDirectory={_data.Path}", "--Database=local", "--ASPIRE_ALLOW_UNSECURED_TRANSPORT=true",
                // the launch profile's is for the one platform that a person runs
                $"--ASPIRE_RESOURCE_SERVICE_ENDPOINT_URL=http://localhost:{FreePort.Next()}",
                $"--ASPIRE_DASHBOARD_FRONTEND_BROWSERTOKEN={BrowserToken}", $"--AppHost:DashboardApiKey={DashboardApiKey}",
            ],
            (options, _) => options.DisableDashboard = false,
            limit.Token);
        _app = await builder.AddFaults().BuildAsync(limit.Token);
        await _app.StartAsync(limit.Token);
        var key = _app.Services.GetRequiredService<DistributedApplicationModel>().Resources.OfType<ParameterResource>().Single(parameter => parameter.Name == "admin-key");
        Client = new(_app, (await key.GetValueAsync(limit.Token))!);
        await Task.WhenAll(Services.Select(service => _app.ResourceNotifications.WaitForResourceHealthyAsync(service, limit.Token)));
        // a machine that has its hands full may open a breaker in the first moments, which the orchestrator does not count
        await AllHealthyAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _data.Dispose();
    }

    /// <summary>Ends everything in order, and starts it again on the same data.</summary>
    public async Task RestartAsync()
    {
        await StopAsync();
        await InitializeAsync();
    }

    /// <summary>Kills a service (SIGKILL) and waits until the orchestrator has noticed.</summary>
    public async Task KillAsync(string resource)
    {
        var running = await App.ResourceNotifications.WaitForResourceAsync(resource, e => Pid(e) is not null, Cancel);
        using var process = System.Diagnostics.Process.GetProcessById(Pid(running)!.Value);
        process.Kill(entireProcessTree: true); // what the orchestrator has started may be `dotnet run`, and the service a child of it
        await App.ResourceNotifications.WaitForResourceAsync(resource, KnownResourceStates.TerminalStates, Cancel);
    }

    public Task StopAsync(string resource) => CommandAsync(resource, "stop");

    /// <summary>Starts a resource that was killed or stopped; returns once the command was accepted.</summary>
    public Task RestartAsync(string resource) => CommandAsync(resource, "start");

    /// <summary>What a button of the dashboard does.</summary>
    public async Task CommandAsync(string resource, string command)
    {
        var result = await App.ResourceCommands.ExecuteCommandAsync(resource, command, Cancel);
        result.Success.ShouldBeTrue($"{command} {resource}: {result.Message}");
    }

    /// <summary>Waits until every service says of itself that it is healthy, with nothing degraded.</summary>
    public Task AllHealthyAsync() => Task.WhenAll(Services.Select(service => Eventually.Async(async () =>
    {
        using var client = App.CreateHttpClient(service);
        var report = await client.GetFromJsonAsync<JsonObject>("/health", Cancel);
        report!["status"]!.GetValue<string>().ShouldBe("healthy", report.ToJsonString());
    }, TimeSpan.FromSeconds(60), Cancel)));

    /// <summary>What a service says of itself, be it well or not.</summary>
    public async Task<JsonObject> HealthAsync(string service)
    {
        using var client = App.CreateHttpClient(service);
        using var response = await client.GetAsync("/health", Cancel);
        return await PlatformClient.ReadAsync(response);
    }

    private async Task StopAsync()
    {
        if (_app is not null)
        {
            await _app.DisposeAsync();
            _app = null;
        }
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
