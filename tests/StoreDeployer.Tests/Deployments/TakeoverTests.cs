using System.Text.Json;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Deployments;

/// <summary>Separate processes that are killed, paused and stopped during a deployment.</summary>
public sealed class TakeoverTests(PostgresServer server) : IAsyncLifetime
{
    private readonly Guid _shop = Guid.CreateVersion7();
    // So long that a takeover in a test can't be due to its end, unless the test itself ends it.
    private readonly (string, string) _longLease = ("Deployments:Lease", "00:10:00");

    private TestDatabase _database = null!;
    private Neighbours _neighbours = null!;

    public async ValueTask InitializeAsync()
    {
        _database = await TestDatabase.CreateAsync(server);
        _neighbours = await Neighbours.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _neighbours.DisposeAsync();
        await _database.DisposeAsync();
    }

    private async Task<Guid> BeginAsync(DeployerClient deployer)
    {
        _neighbours.HoldUp();
        var deployment = await deployer.RequestAsync(_shop, "mugs", _neighbours.Publish(Bundles.Entries()));
        await Eventually.TrueAsync(() => _neighbours.Fetches > 0);
        return deployment;
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = _database.DataSource.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    private async Task<JsonElement> AssertLiveOnceAsync(DeployerClient deployer, Guid deployment)
    {
        var finished = await _neighbours.FinishedAsync(deployment);
        finished.GetProperty("status").GetString().ShouldBe("live", finished.ToString());
        finished.GetProperty("steps").EnumerateArray().ShouldAllBe(step => step.GetProperty("attempts").GetInt32() == 1);
        (await deployer.PageAsync("mugs")).ShouldContain("Mug shop");
        await using var command = _database.DataSource.CreateCommand("select count(*) from releases where activated_at is not null");
        (await command.ExecuteScalarAsync()).ShouldBe(1L);
        return await deployer.DeploymentAsync(deployment);
    }

    [Fact]
    public async Task A_killed_workers_deployment_is_taken_over_long_before_its_lease_expires()
    {
        await using var doomed = await DeployerProcess.StartAsync(_database.ConnectionString, _neighbours, _longLease);
        var deployment = await BeginAsync(doomed);
        await using var heir = new DeployerHost(_database.ConnectionString, _neighbours, _longLease);
        await heir.ReadyAsync();

        var fetches = _neighbours.Fetches;
        doomed.Kill();
        await Eventually.TrueAsync(() => _neighbours.Fetches > fetches);
        _neighbours.Open();

        (await AssertLiveOnceAsync(heir, deployment)).GetProperty("lostLeases").GetInt32().ShouldBe(1);
    }

    [Fact]
    public async Task The_deployment_of_a_paused_worker_is_taken_over_when_its_lease_expires_and_the_resumed_worker_changes_nothing()
    {
        await using var paused = await DeployerProcess.StartAsync(_database.ConnectionString, _neighbours, _longLease);
        var deployment = await BeginAsync(paused);
        await using var heir = new DeployerHost(_database.ConnectionString, _neighbours, _longLease);
        await heir.ReadyAsync();

        var fetches = _neighbours.Fetches;
        await paused.PauseAsync();
        try
        {
            // Expire its outbox lease too: the other worker's messages about the shop wait for it.
            await ExecuteAsync("update deployments set lease_until = now() where lease_until is not null");
            await ExecuteAsync("update outbox_keys set lease_until = now() where lease is not null");
            await Eventually.TrueAsync(() => _neighbours.Fetches > fetches);
            _neighbours.Open();
            (await AssertLiveOnceAsync(heir, deployment)).GetProperty("lostLeases").GetInt32().ShouldBe(1);
        }
        finally
        {
            await paused.ContinueAsync();
        }

        // The resumed process no longer holds the lease, and serves the store like the other one.
        await Eventually.Async(async () => (await paused.PageAsync("mugs")).ShouldContain("Mug shop"));
        await AssertLiveOnceAsync(paused, deployment);
        _neighbours.MessagesAbout(deployment).Count(message => message.Type == "deployment.finished").ShouldBe(1);
    }

    [Fact]
    public async Task A_worker_stopped_by_SIGTERM_returns_its_lease_and_exits()
    {
        await using var stopping = await DeployerProcess.StartAsync(_database.ConnectionString, _neighbours, _longLease, ("Deployments:DrainTimeout", "00:00:00.5"));
        var deployment = await BeginAsync(stopping);

        (await stopping.TerminateAsync()).ShouldBe(0, stopping.Output);

        await using var heir = new DeployerHost(_database.ConnectionString, _neighbours);
        await heir.ReadyAsync();
        _neighbours.Open();
        (await AssertLiveOnceAsync(heir, deployment)).GetProperty("lostLeases").GetInt32().ShouldBe(0, stopping.Output);
    }

    [Fact]
    public async Task Two_workers_share_a_queue_and_run_each_deployment_once()
    {
        await using var one = await DeployerProcess.StartAsync(_database.ConnectionString, _neighbours);
        await using var other = new DeployerHost(_database.ConnectionString, _neighbours);
        await other.ReadyAsync();
        var digest = _neighbours.Publish();
        var deployments = new List<(string Slug, Guid Id)>();
        for (var n = 0; n < 12; n++)
            deployments.Add(($"shop-{n}", await (n % 2 == 0 ? (DeployerClient)one : other).RequestAsync(Guid.CreateVersion7(), $"shop-{n}", digest, $"Shop number {n}")));

        foreach (var (_, id) in deployments)
            (await _neighbours.FinishedAsync(id)).GetProperty("status").GetString().ShouldBe("live");

        foreach (var (slug, _) in deployments)
        {
            // Both processes serve it, regardless of which one activated it.
            await Eventually.Async(async () => (await one.PageAsync(slug)).ShouldContain($"Shop number {slug[5..]}<"));
            await Eventually.Async(async () => (await other.PageAsync(slug)).ShouldContain($"Shop number {slug[5..]}<"));
        }

        await using var command = _database.DataSource.CreateCommand("select count(*) from releases");
        (await command.ExecuteScalarAsync()).ShouldBe(12L);
    }
}
