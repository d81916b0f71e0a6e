using System.Text.Json;
using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Edges;

/// <summary>StoreDeployer with a fault proxy in front of Backend, which is a real inbox here.</summary>
public sealed class BackendEdge(PostgresServer server) : IAsyncLifetime
{
    public TestDatabase Database { get; private set; } = null!;

    public Neighbours Neighbours { get; private set; } = null!;

    public InboxPeer Backend { get; private set; } = null!;

    public DeployerHost Deployer { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Database = await TestDatabase.CreateAsync(server);
        Neighbours = await Neighbours.StartAsync();
        Backend = await InboxPeer.StartAsync(server, DeployerClient.Token, "deployment.progressed", "deployment.finished");
        Deployer = new DeployerHost(
            Database.ConnectionString,
            Neighbours,
            ("services:backend:http:0", Backend.Address),
            ("Services:backend:AttemptTimeout", "00:00:00.500"),
            ("Deployments:ProgressInterval", "00:00:00.01"),
            ("Messaging:PollInterval", "00:00:00.050"),
            ("Messaging:MaxBackoff", "00:00:00.200"));
        await Deployer.ReadyAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Deployer.DisposeAsync();
        await Backend.DisposeAsync();
        await Neighbours.DisposeAsync();
        await Database.DisposeAsync();
    }
}

/// <summary>Deployments, and the messages to Backend about them, during each fault between StoreDeployer and Backend.</summary>
public sealed class BackendEdgeTests(BackendEdge edge) : IClassFixture<BackendEdge>
{
    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Slow))]
    public async Task Backend_applies_messages_once_and_in_order_over_a_slow_connection(Fault fault)
    {
        await ConnectedAsync();
        var shop = Guid.CreateVersion7();
        var scope = edge.Backend.Way.Faults.Start(fault);

        await scope.DuringAsync(async () => await ToldAsync(shop, [await LiveAsync(shop)]));

        scope.Struck.ShouldBeGreaterThan(0);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Deployments_go_live_during_a_fault_and_Backend_applies_messages_once_and_in_order_after_it(Fault fault)
    {
        await ConnectedAsync();
        var (shop, deployments) = (Guid.CreateVersion7(), new List<Guid>());
        var deliveries = edge.Backend.Deliveries;
        // Only refusals have a body that can be cut.
        edge.Backend.IsOverloaded = fault is CutBodyFault;
        var scope = edge.Backend.Way.Faults.Start(fault);

        await scope.DuringAsync(async () =>
        {
            bool waits;
            do
            {
                deployments.Add(await LiveAsync(shop));
                waits = await WaitsAsync();
            }
            while (!waits && fault is FlapFault);

            waits.ShouldBeTrue();
            // The messages may already have been waiting because of an earlier failure.
            await Eventually.TrueAsync(() => scope.Struck > 0);
            deployments.Add(await LiveAsync(shop));
        });

        scope.Struck.ShouldBeGreaterThan(0);
        edge.Backend.IsOverloaded = false;
        var applied = await ToldAsync(shop, deployments);
        if (fault.HidesSuccess())
        {
            (edge.Backend.Deliveries - deliveries).ShouldBeGreaterThan(applied);
        }
    }

    /// <summary>Makes sure that there is an open connection for the fault to affect.</summary>
    private async Task ConnectedAsync()
    {
        var shop = Guid.CreateVersion7();
        await ToldAsync(shop, [await LiveAsync(shop)]);
    }

    private async Task<Guid> LiveAsync(Guid shop)
    {
        var slug = $"edge-{shop:n}";
        var deployment = await edge.Deployer.RequestAsync(shop, slug, edge.Neighbours.Publish());
        await edge.Deployer.StatusBecomesAsync(deployment, "live");
        (await edge.Deployer.PageAsync(slug)).ShouldContain("Mug shop");
        return deployment;
    }

    /// <summary>Waits until Backend has applied all messages about a shop's deployments.</summary>
    /// <returns>The number of messages.</returns>
    private async Task<int> ToldAsync(Guid shop, IReadOnlyList<Guid> deployments)
    {
        await Eventually.Async(async () => (await ScalarAsync("select (select count(*) from outbox) + (select sum(failures) from outbox_destinations)")).ShouldBe(0));
        var told = await edge.Backend.AppliedAsync(shop);
        told.Select(message => message.Sequence).ShouldBeInOrder(SortDirection.Ascending);
        told.Select(message => message.Sequence).ShouldBeUnique();
        told.Select(message => message.Subject).Distinct().ShouldBe(deployments.Select(deployment => deployment.ToString()));
        foreach (var deployment in told.GroupBy(message => message.Subject))
        {
            deployment.SkipLast(1).ShouldAllBe(message => message.Type == "deployment.progressed" && Status(message) == "running");
            deployment.Last().Type.ShouldBe("deployment.finished");
            Status(deployment.Last()).ShouldBe("live");
        }

        return told.Count;
    }

    /// <summary>Whether the last message is waiting for Backend; false if it has arrived.</summary>
    private Task<bool> WaitsAsync() => Eventually.Async(async () =>
    {
        if (await ScalarAsync("select failures::bigint from outbox_destinations where destination = 'backend'") > 0)
        {
            return true;
        }

        (await ScalarAsync("select count(*) from outbox")).ShouldBe(0);
        return false;
    });

    private static string? Status(AppliedMessage message) => JsonDocument.Parse(message.Data).RootElement.GetProperty("status").GetString();

    private async Task<long> ScalarAsync(string sql)
    {
        await using var command = edge.Database.DataSource.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
