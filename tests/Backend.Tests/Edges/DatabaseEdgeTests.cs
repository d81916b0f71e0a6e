using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Edges;

/// <summary>Backend with a fault proxy in front of its database.</summary>
public abstract class DatabaseEdge(PostgresServer server, int timeout) : IAsyncLifetime
{
    public BackendHost Backend { get; } = new(server);

    public DatabaseWay Way { get; private set; } = null!;

    public JsonObject Shop { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Way = await DatabaseWay.CreateAsync(server, timeout);
        Backend.Set("ConnectionStrings:backend-db", Way.ConnectionString);
        await Backend.InitializeAsync();
        Shop = await Eventually.Async(() => Backend.CreateShopAsync());
    }

    public Task<HttpResponseMessage> ReadAsync() => Backend.Client.GetAsync($"/api/shops/{Shop.Id()}");

    public Task<HttpResponseMessage> CreateAsync(string slug)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/api/shops") { Content = JsonContent.Create(BackendHost.NewShop(slug)) };
        request.Headers.Add("Idempotency-Key", slug);
        return Backend.Client.SendAsync(request);
    }

    /// <summary>The number of shops with the slug, read without the proxy.</summary>
    public async Task<long> CountAsync(string slug)
    {
        await using var command = Way.Database.DataSource.CreateCommand($"select count(*) from shops where slug = '{slug}'");
        return (long)(await command.ExecuteScalarAsync())!;
    }

    public async ValueTask DisposeAsync()
    {
        await Backend.DisposeAsync();
        await Way.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

public sealed class SlowDatabaseEdge(PostgresServer server) : DatabaseEdge(server, DatabaseWay.SlowTimeout);

public sealed class BrokenDatabaseEdge(PostgresServer server) : DatabaseEdge(server, DatabaseWay.BrokenTimeout);

/// <summary>Calls to Backend during each fault that slows its connection to the database down.</summary>
public sealed class SlowDatabaseTests(SlowDatabaseEdge edge) : IClassFixture<SlowDatabaseEdge>
{
    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    [Theory]
    [MemberData(nameof(Slow))]
    public async Task Calls_succeed_over_a_slow_connection(Fault fault)
    {
        var slug = $"edge-{Guid.NewGuid():n}"[..20];

        await edge.Way.CarriesAsync(fault, edge.ReadAsync, () => edge.CreateAsync(slug));

        (await edge.CountAsync(slug)).ShouldBe(1);
    }
}

/// <summary>Calls to Backend during each fault that breaks its connection to the database.</summary>
public sealed class BrokenDatabaseTests(BrokenDatabaseEdge edge) : IClassFixture<BrokenDatabaseEdge>
{
    private readonly string _slug = $"edge-{Guid.NewGuid():n}"[..20];

    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Calls_are_503_over_a_broken_connection_and_a_retry_takes_effect_once(Fault fault)
    {
        await DatabaseWay.RecoversAsync(edge.ReadAsync, TemplateAsync);

        await edge.Way.RefusesAsync(fault, CreateAsync, edge.ReadAsync);

        await DatabaseWay.RecoversAsync(CreateAsync, edge.ReadAsync);
        (await edge.CountAsync(_slug)).ShouldBe(1);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Templates_are_served_all_the_time(Fault fault)
    {
        await DatabaseWay.RecoversAsync(TemplateAsync);
        using var scope = edge.Way.Faults.Start(fault);

        using var template = await TemplateAsync();

        template.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await edge.Backend.Client.GetAsync("/alive")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    private Task<HttpResponseMessage> TemplateAsync() => edge.Backend.Client.GetAsync("/api/templates/aurora");

    private Task<HttpResponseMessage> CreateAsync() => edge.CreateAsync(_slug);
}
