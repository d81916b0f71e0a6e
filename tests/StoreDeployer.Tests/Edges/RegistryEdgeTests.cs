using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Edges;

/// <summary>StoreDeployer with a fault proxy in front of TemplateRegistry. A single failure of a step makes a deployment fail here.</summary>
public sealed class RegistryEdge(PostgresServer server) : IAsyncLifetime
{
    public TestDatabase Database { get; private set; } = null!;

    public Neighbours Neighbours { get; private set; } = null!;

    public TcpFaultProxy Way { get; private set; } = null!;

    public DeployerHost Deployer { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Database = await TestDatabase.CreateAsync(server);
        Neighbours = await Neighbours.StartAsync();
        Way = new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, Neighbours.Registry.Port));
        Deployer = new DeployerHost(
            Database.ConnectionString,
            Neighbours,
            ("services:template-registry:http:0", $"http://{Way.EndPoint}"),
            ("Services:template-registry:AttemptTimeout", "00:00:00.500"),
            ("Services:template-registry:ReadTimeout", "00:00:00.600"),
            ("Deployments:MaxFailures", "1"),
            ("Deployments:MaxBackOff", "00:00:00.1"),
            ("Deployments:PollInterval", "00:00:00.05"));
        await Deployer.ReadyAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Deployer.DisposeAsync();
        await Way.DisposeAsync();
        await Neighbours.DisposeAsync();
        await Database.DisposeAsync();
    }
}

/// <summary>Deployments during each fault between StoreDeployer and TemplateRegistry, from which they fetch bundles.</summary>
public sealed class RegistryEdgeTests(RegistryEdge edge) : IClassFixture<RegistryEdge>
{
    private static int _bundles;

    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Slow))]
    public async Task A_deployment_goes_live_over_a_slow_connection(Fault fault)
    {
        var scope = edge.Way.Faults.Start(fault);

        await scope.DuringAsync(async () => await LiveAsync(await DeployAsync()));

        scope.Struck.ShouldBeGreaterThan(0);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task A_deployment_waits_during_a_fault_and_goes_live_after_it_without_a_failure(Fault fault)
    {
        await LiveAsync(await DeployAsync());
        var deployments = new List<Guid>();
        var scope = edge.Way.Faults.Start(fault);

        await scope.DuringAsync(async () =>
        {
            bool waits;
            do
            {
                deployments.Add(await DeployAsync());
                waits = await WaitsAsync(deployments[^1]);
            }
            while (!waits && fault is FlapFault);

            waits.ShouldBeTrue();
        });

        scope.Struck.ShouldBeGreaterThan(0);
        foreach (var deployment in deployments)
        {
            await LiveAsync(deployment);
        }
    }

    [Fact]
    public async Task A_deployment_waits_if_the_connection_is_reset_while_downloading_its_bundle()
    {
        await LiveAsync(await DeployAsync());
        var before = edge.Way.BytesToClient;
        Guid deployment;
        using (edge.Way.Faults.Bandwidth(5_000))
        {
            deployment = await DeployAsync(Convert.ToHexString(RandomNumberGenerator.GetBytes(4_000)));
            await Eventually.TrueAsync(() => edge.Way.BytesToClient > before + 500);
            using var reset = edge.Way.Faults.Reset();
            (await WaitsAsync(deployment)).ShouldBeTrue();
            reset.Struck.ShouldBeGreaterThan(0);
        }

        await LiveAsync(deployment);
    }

    /// <summary>Requests the deployment of a new shop, with a bundle that is not cached.</summary>
    private Task<Guid> DeployAsync(string comment = "")
    {
        var number = Interlocked.Increment(ref _bundles).ToString(CultureInfo.InvariantCulture);
        var digest = edge.Neighbours.Publish(Bundles.Entries(css: $"a {{ order: {number} }} /* {comment} */"));
        return edge.Deployer.RequestAsync(Guid.CreateVersion7(), $"edge-{number}", digest);
    }

    /// <summary>Whether the deployment is waiting for the registry; false if it is live.</summary>
    private Task<bool> WaitsAsync(Guid deployment) => Eventually.Async(async () =>
    {
        var seen = await edge.Deployer.DeploymentAsync(deployment);
        if (seen.GetProperty("status").GetString() == "live")
        {
            return false;
        }

        seen.GetProperty("status").GetString().ShouldBe("queued");
        seen.GetProperty("error").GetProperty("code").GetString().ShouldBe("dependency-unavailable");
        return true;
    });

    private async Task LiveAsync(Guid deployment)
    {
        var finished = await edge.Neighbours.FinishedAsync(deployment);
        finished.GetProperty("status").GetString().ShouldBe("live", finished.ToString());
        finished.GetProperty("steps").EnumerateArray().Select(step => step.GetProperty("attempts").GetInt32()).ShouldBe([1, 1, 1, 1, 1]);
    }
}
