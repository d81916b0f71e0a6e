using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Edges;

/// <summary>Backend with the way to its database at hand.</summary>
public sealed class DatabaseEdge(PostgresServer server) : IAsyncLifetime
{
    public BackendHost Backend { get; } = new(server);

    public DatabaseWay Way { get; private set; } = null!;

    public JsonObject Shop { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Way = await DatabaseWay.CreateAsync(server);
        Backend.Set("ConnectionStrings:backend-db", Way.ConnectionString);
        Backend.Set("Database:ConnectTimeout", "1");
        await Backend.InitializeAsync();
        Shop = await Eventually.Async(() => Backend.CreateShopAsync());
    }

    public async ValueTask DisposeAsync()
    {
        await Backend.DisposeAsync();
        await Way.DisposeAsync();
    }
}

/// <summary>What Backend's caller sees of each fault between Backend and its database.</summary>
public sealed class DatabaseEdgeTests(DatabaseEdge edge) : IClassFixture<DatabaseEdge>
{
    private readonly string _slug = $"edge-{Guid.NewGuid():n}"[..20];

    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Slow))]
    public async Task Calls_succeed_over_a_slow_connection(Fault fault)
    {
        await DatabaseWay.RecoversAsync(ReadAsync);

        await edge.Way.CarriesAsync(fault, ReadAsync, CreateAsync);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Calls_are_503_over_a_broken_connection_and_a_retry_takes_effect_once(Fault fault)
    {
        await DatabaseWay.RecoversAsync(ReadAsync, TemplateAsync);

        await edge.Way.RefusesAsync(fault, CreateAsync, ReadAsync);

        await DatabaseWay.RecoversAsync(CreateAsync, ReadAsync);
        (await ScalarAsync($"select count(*) from shops where slug = '{_slug}'")).ShouldBe(1);
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

    private Task<HttpResponseMessage> ReadAsync() => edge.Backend.Client.GetAsync($"/api/shops/{edge.Shop.Id()}");

    private Task<HttpResponseMessage> TemplateAsync() => edge.Backend.Client.GetAsync("/api/templates/aurora");

    private Task<HttpResponseMessage> CreateAsync()
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/api/shops") { Content = JsonContent.Create(BackendHost.NewShop(_slug)) };
        request.Headers.Add("Idempotency-Key", _slug);
        return edge.Backend.Client.SendAsync(request);
    }

    private async Task<long> ScalarAsync(string sql)
    {
        await using var command = edge.Way.Database.DataSource.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
