using System.Text.Json.Nodes;
using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Edges;

/// <summary>Backend with the way to StoreDeployer at hand, who has a real inbox here.</summary>
public sealed class DeployerEdge(PostgresServer server) : IAsyncLifetime
{
    public BackendHost Backend { get; } = new(server);

    public InboxPeer Deployer { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Deployer = await InboxPeer.StartAsync(server, BackendHost.Token, "deployment.requested");
        Backend.Set("services:store-deployer:http:0", Deployer.Address);
        Backend.Set("Services:store-deployer:AttemptTimeout", "00:00:00.500");
        Backend.Set("Messaging:PollInterval", "00:00:00.050");
        Backend.Set("Messaging:MaxBackoff", "00:00:00.200");
        await Backend.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Backend.DisposeAsync();
        await Deployer.DisposeAsync();
    }
}

/// <summary>What Backend's caller sees of each fault between Backend and StoreDeployer: nothing.</summary>
public sealed class DeployerEdgeTests(DeployerEdge edge) : IClassFixture<DeployerEdge>
{
    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Slow))]
    public async Task A_deployment_is_accepted_and_arrives_over_a_slow_connection(Fault fault)
    {
        var shop = await ShopAsync();
        var scope = edge.Deployer.Way.Faults.Start(fault);

        await scope.DuringAsync(async () =>
        {
            var deployment = await edge.Backend.DeployAsync(shop);
            await ArriveAsync(shop, [deployment.Id()]);
        });

        scope.Struck.ShouldBeGreaterThan(0);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Deployments_are_accepted_over_a_broken_connection_and_arrive_in_order_and_once_when_it_recovers(Fault fault)
    {
        var shop = await ShopAsync();
        var deliveries = edge.Deployer.Deliveries;
        var deployments = new List<Guid>();
        // only a refusal has a body that can be cut
        edge.Deployer.IsOverloaded = fault is CutBodyFault;
        var scope = edge.Deployer.Way.Faults.Start(fault);

        await scope.DuringAsync(async () =>
        {
            bool waits;
            do
            {
                deployments.Add((await edge.Backend.DeployAsync(shop)).Id());
                waits = await WaitsAsync();
            }
            while (!waits && fault is FlapFault);

            waits.ShouldBeTrue();
            // they may have waited already, for what went wrong before this fault
            await Eventually.TrueAsync(() => scope.Struck > 0);
            deployments.Add((await edge.Backend.DeployAsync(shop)).Id());
        });

        scope.Struck.ShouldBeGreaterThan(0);
        edge.Deployer.IsOverloaded = false;
        await ArriveAsync(shop, deployments);
        if (fault.HidesSuccess())
        {
            (edge.Deployer.Deliveries - deliveries).ShouldBeGreaterThan(deployments.Count);
        }
    }

    /// <summary>A shop whose first deployment has arrived, so that there is a connection for a fault to strike.</summary>
    private async Task<JsonObject> ShopAsync()
    {
        var shop = await edge.Backend.CreateShopAsync();
        var before = await edge.Backend.CreateShopAsync();
        await ArriveAsync(before, [(await edge.Backend.DeployAsync(before)).Id()]);
        return shop;
    }

    private async Task ArriveAsync(JsonObject shop, IReadOnlyList<Guid> deployments)
    {
        await Eventually.Async(async () => (await ScalarAsync("select (select count(*) from outbox) + (select sum(failures) from outbox_destinations)")).ShouldBe(0));
        var applied = await edge.Deployer.AppliedAsync(shop.Id());
        applied.Select(message => message.Subject).ShouldBe(deployments.Select(deployment => deployment.ToString()));
        applied.Select(message => message.Sequence).ShouldBeInOrder();
    }

    /// <summary>Whether what was sent last has to wait for the deployer; false when it has arrived.</summary>
    private Task<bool> WaitsAsync() => Eventually.Async(async () =>
    {
        if (await ScalarAsync("select failures::bigint from outbox_destinations where destination = 'store-deployer'") > 0)
        {
            return true;
        }

        (await ScalarAsync("select count(*) from outbox")).ShouldBe(0);
        return false;
    });

    private async Task<long> ScalarAsync(string sql)
    {
        await using var command = edge.Backend.Database.DataSource.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
