using System.Net;
using Microsoft.AspNetCore.Mvc.Testing;
using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.TemplateRegistry.Tests.Bundles;
using Platform.TestSupport;

namespace Platform.TemplateRegistry.Tests;

/// <summary>TemplateRegistry with a fault proxy in front of its database.</summary>
public abstract class DatabaseEdge(PostgresServer server, int timeout) : IAsyncLifetime
{
    private WebApplicationFactory<Program> _factory = null!;

    public DatabaseWay Way { get; private set; } = null!;

    public HttpClient Client { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Way = await DatabaseWay.CreateAsync(server, timeout);
        _factory = RunningRegistry.Start(Way.ConnectionString);
        Client = RunningRegistry.ConnectAsService(_factory);
        await RunningRegistry.WaitUntilReadyAsync(Client);
    }

    public Task<HttpResponseMessage> ListAsync() => Client.GetAsync("/templates");

    public Task<HttpResponseMessage> PublishAsync(string name) => Client.PutAsync($"/templates/{name}/versions/1.0.0", RunningRegistry.Zip(new TestBundle(name).Zip()));

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _factory.DisposeAsync();
        await Way.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

public sealed class SlowDatabaseEdge(PostgresServer server) : DatabaseEdge(server, DatabaseWay.SlowTimeout);

public sealed class BrokenDatabaseEdge(PostgresServer server) : DatabaseEdge(server, DatabaseWay.BrokenTimeout);

/// <summary>Calls to TemplateRegistry during each fault that slows its connection to the database down.</summary>
public sealed class SlowDatabaseTests(SlowDatabaseEdge edge) : IClassFixture<SlowDatabaseEdge>
{
    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    [Theory]
    [MemberData(nameof(Slow))]
    public Task Calls_succeed_over_a_slow_connection(Fault fault) => edge.Way.CarriesAsync(fault, edge.ListAsync, () => edge.PublishAsync($"edge-{Guid.NewGuid():n}"[..20]));
}

/// <summary>Calls to TemplateRegistry during each fault that breaks its connection to the database.</summary>
public sealed class BrokenDatabaseTests(BrokenDatabaseEdge edge) : IClassFixture<BrokenDatabaseEdge>
{
    private readonly string _name = $"edge-{Guid.NewGuid():n}"[..20];

    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Calls_are_503_during_a_fault_and_a_repeated_publication_succeeds_after_it(Fault fault)
    {
        await DatabaseWay.RecoversAsync(edge.ListAsync);

        await edge.Way.RefusesAsync(fault, PublishAsync, edge.ListAsync);

        (await edge.Client.GetAsync("/alive")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await DatabaseWay.RecoversAsync(PublishAsync, edge.ListAsync, () => edge.Client.GetAsync($"/templates/{_name}/versions/1.0.0/bundle"));
    }

    private Task<HttpResponseMessage> PublishAsync() => edge.PublishAsync(_name);
}
