using System.Net;
using Microsoft.AspNetCore.Mvc.Testing;
using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.TemplateRegistry.Tests.Bundles;
using Platform.TestSupport;

namespace Platform.TemplateRegistry.Tests;

/// <summary>TemplateRegistry with a fault proxy in front of its database.</summary>
public sealed class DatabaseEdge(PostgresServer server) : IAsyncLifetime
{
    private WebApplicationFactory<Program> _factory = null!;

    public DatabaseWay Way { get; private set; } = null!;

    public HttpClient Client { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Way = await DatabaseWay.CreateAsync(server);
        _factory = RunningRegistry.Start(Way.ConnectionString, timeout: 1);
        Client = RunningRegistry.ConnectAsService(_factory);
        await RunningRegistry.WaitUntilReadyAsync(Client);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _factory.DisposeAsync();
        await Way.DisposeAsync();
    }
}

/// <summary>Calls to TemplateRegistry during each fault between it and its database.</summary>
public sealed class DatabaseEdgeTests(DatabaseEdge edge) : IClassFixture<DatabaseEdge>
{
    private readonly string _name = $"edge-{Guid.NewGuid():n}"[..20];

    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Slow))]
    public async Task Calls_succeed_over_a_slow_connection(Fault fault)
    {
        await DatabaseWay.RecoversAsync(ListAsync);

        await edge.Way.CarriesAsync(fault, ListAsync, PublishAsync);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Calls_are_503_during_a_fault_and_a_repeated_publication_succeeds_after_it(Fault fault)
    {
        await DatabaseWay.RecoversAsync(ListAsync);

        await edge.Way.RefusesAsync(fault, PublishAsync, ListAsync);

        (await edge.Client.GetAsync("/alive")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await DatabaseWay.RecoversAsync(PublishAsync, ListAsync, () => edge.Client.GetAsync($"/templates/{_name}/versions/1.0.0/bundle"));
    }

    private Task<HttpResponseMessage> ListAsync() => edge.Client.GetAsync("/templates");

    private Task<HttpResponseMessage> PublishAsync() =>
        edge.Client.PutAsync($"/templates/{_name}/versions/1.0.0", RunningRegistry.Zip(new TestBundle(_name).Zip()));
}
