using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Edges;

/// <summary>StoreDeployer with a fault proxy in front of its database, and a live store. A single failure of a step makes a deployment fail here.</summary>
public abstract class DatabaseEdge(PostgresServer server, int timeout) : IAsyncLifetime
{
    public DatabaseWay Way { get; private set; } = null!;

    public Neighbours Neighbours { get; private set; } = null!;

    public DeployerHost Deployer { get; private set; } = null!;

    public Guid First { get; private set; }

    public async ValueTask InitializeAsync()
    {
        Way = await DatabaseWay.CreateAsync(server, timeout);
        Neighbours = await Neighbours.StartAsync();
        Deployer = new DeployerHost(
            Way.ConnectionString,
            Neighbours,
            // So long that no test can be saved by its end.
            ("Deployments:Lease", "00:10:00"),
            ("Deployments:MaxFailures", "1"),
            ("Deployments:MaxBackOff", "00:00:00.1"),
            ("Deployments:PollInterval", "00:00:00.05"),
            ("Messaging:PollInterval", "00:00:00.050"),
            ("Messaging:MaxBackoff", "00:00:00.200"));
        await Deployer.ReadyAsync();
        var (shop, message, digest) = (Guid.CreateVersion7(), Guid.CreateVersion7(), Neighbours.Publish());
        First = Guid.CreateVersion7();
        await DatabaseWay.RecoversAsync(() => Deployer.TrySendAsync(
            "deployment.requested", shop, First, DeployerClient.DeploymentRequested(First, shop, "first", digest), message, sequence: 1));
        await Neighbours.FinishedAsync(First);
        await Eventually.Async(async () => (await Deployer.PageAsync("first")).ShouldContain("Mug"));
    }

    public Task<HttpResponseMessage> ReadAsync()
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"/deployments/{First}");
        request.Headers.Add("X-Internal-Token", DeployerClient.Token);
        return Deployer.Http.SendAsync(request);
    }

    public async ValueTask DisposeAsync()
    {
        await Deployer.DisposeAsync();
        await Neighbours.DisposeAsync();
        await Way.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}

public sealed class SlowDatabaseEdge(PostgresServer server) : DatabaseEdge(server, DatabaseWay.SlowTimeout);

public sealed class BrokenDatabaseEdge(PostgresServer server) : DatabaseEdge(server, DatabaseWay.BrokenTimeout);

/// <summary>Deployments during each fault that slows StoreDeployer's connection to its database down.</summary>
public sealed class SlowDatabaseTests(SlowDatabaseEdge edge) : IClassFixture<SlowDatabaseEdge>
{
    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    [Theory]
    [MemberData(nameof(Slow))]
    public async Task Deployments_go_live_over_a_slow_connection(Fault fault)
    {
        var shop = new EdgeShop(edge);

        await edge.Way.CarriesAsync(fault, shop.RequestAsync, edge.ReadAsync);

        await shop.LiveOnceAsync();
    }
}

/// <summary>Deployments, messages and live stores during each fault that breaks StoreDeployer's connection to its database.</summary>
public sealed class BrokenDatabaseTests(BrokenDatabaseEdge edge) : IClassFixture<BrokenDatabaseEdge>
{
    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task A_running_deployment_and_one_requested_during_a_fault_go_live_once_after_it(Fault fault)
    {
        await DatabaseWay.RecoversAsync(edge.ReadAsync);
        var underWay = new EdgeShop(edge);
        var fetches = edge.Neighbours.Fetches;
        edge.Neighbours.HoldUp();
        try
        {
            await DatabaseWay.RecoversAsync(underWay.RequestAsync);
            await Eventually.TrueAsync(() => edge.Neighbours.Fetches > fetches);
            var askedFor = new EdgeShop(edge);

            await edge.Way.RefusesAsync(fault, askedFor.RequestAsync, edge.ReadAsync, async () =>
            {
                edge.Neighbours.Open();
                (await edge.Deployer.PageAsync("first")).ShouldContain("Mug");
                return await edge.ReadAsync();
            });

            await DatabaseWay.RecoversAsync(askedFor.RequestAsync);
            await askedFor.LiveOnceAsync();
            await underWay.LiveOnceAsync();
        }
        finally
        {
            edge.Neighbours.Open();
        }
    }
}

/// <summary>A shop whose deployment is requested with one message, which may be sent repeatedly. Its bundle is not cached.</summary>
internal sealed class EdgeShop
{
    private readonly DatabaseEdge _edge;
    private readonly Guid _shop = Guid.CreateVersion7();
    private readonly Guid _deployment = Guid.CreateVersion7();
    private readonly Guid _message = Guid.CreateVersion7();
    private readonly string _digest;

    public EdgeShop(DatabaseEdge edge)
    {
        _edge = edge;
        _digest = edge.Neighbours.Publish(Bundles.Entries(css: $"a {{ content: '{_shop}' }}"));
    }

    private string Slug => $"shop-{_shop:n}";

    public Task<HttpResponseMessage> RequestAsync() => _edge.Deployer.TrySendAsync(
        "deployment.requested", _shop, _deployment, DeployerClient.DeploymentRequested(_deployment, _shop, Slug, _digest), _message, sequence: 1);

    public async Task LiveOnceAsync()
    {
        (await _edge.Neighbours.FinishedAsync(_deployment)).GetProperty("status").GetString().ShouldBe("live");
        (await _edge.Deployer.PageAsync(Slug)).ShouldContain("Mug");
        await using var command = _edge.Way.Database.DataSource.CreateCommand($"select count(*) from releases where shop_id = '{_shop}'");
        (await command.ExecuteScalarAsync()).ShouldBe(1L);
    }
}
