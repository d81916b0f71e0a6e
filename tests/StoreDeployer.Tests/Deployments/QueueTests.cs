using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Deployments;

/// <summary>The operations of the queue, with the test as its workers.</summary>
public sealed class QueueTests(PostgresServer server) : IAsyncLifetime
{
    private static readonly CancellationToken None = CancellationToken.None;
    // The same as in ProcessSession.
    private const int LockClass = 0x6465706C;
    private readonly Guid _one = Guid.CreateVersion7();
    private readonly Guid _other = Guid.CreateVersion7();
    private TestDatabase _database = null!;
    private Neighbours _neighbours = null!;
    private DeployerHost _deployer = null!;

    public async ValueTask InitializeAsync()
    {
        _database = await TestDatabase.CreateAsync(server);
        _neighbours = await Neighbours.StartAsync();
        // It receives messages, but claims no deployments and releases no leases.
        _deployer = new DeployerHost(_database.ConnectionString, _neighbours, ("Deployments:Workers", "0"), ("Deployments:OrphanCheck", "00:01:00"));
        await _deployer.ReadyAsync();
        foreach (var (worker, key) in new[] { (_one, 1_000_001), (_other, 1_000_002) })
            await ExecuteAsync("insert into processes (id, lock_key, service, host, process_id, version) values ($1, $2, 'test', 'test', 1, '')", worker, key);
    }

    public async ValueTask DisposeAsync()
    {
        await _deployer.DisposeAsync();
        await _neighbours.DisposeAsync();
        await _database.DisposeAsync();
    }

    private T Get<T>() where T : notnull => _deployer.Services.GetRequiredService<T>();

    private async Task<DeploymentJob?> ClaimAsync(Guid worker) => (await Get<ClaimNextDeployment>().ExecuteAsync(worker, None))?.Job;

    private async Task<int> ExecuteAsync(string sql, params object[] parameters)
    {
        await using var command = _database.DataSource.CreateCommand(sql);
        foreach (var parameter in parameters)
            command.Parameters.AddWithValue(parameter);
        return await command.ExecuteNonQueryAsync();
    }

    private async Task<string> RowsAsync(string table)
    {
        await using var command = _database.DataSource.CreateCommand($"select coalesce(string_agg(t::text, ';' order by t::text), '') from {table} t");
        return (string)(await command.ExecuteScalarAsync())!;
    }

    private Task UntilBlockedAsync() => Eventually.Async(async () =>
        (await RowsAsync("(select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())")).ShouldBe("(1)"));

    private Task<Guid> RequestAsync(Guid shop, int priority = 2, string kind = "deployment") => _deployer.RequestAsync(shop, $"shop-{shop:n}", null, kind: kind, priority: priority);

    [Fact]
    public async Task Rollbacks_go_before_first_deployments_before_redeployments_each_in_order_of_arrival()
    {
        var expected = new Guid[6];
        foreach (var (place, priority) in new[] { (4, 2), (2, 1), (0, 0), (5, 2), (3, 1), (1, 0) })
            expected[place] = await RequestAsync(Guid.CreateVersion7(), priority, priority == 0 ? "rollback" : "deployment");

        var claimed = new List<Guid>();
        while (await ClaimAsync(_one) is { } job)
            claimed.Add(job.Id);

        claimed.ShouldBe(expected);
    }

    [Fact]
    public async Task A_shop_that_redeploys_often_keeps_its_place_in_the_queue()
    {
        var (busy, patient) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        await RequestAsync(busy);
        var waiting = await RequestAsync(patient);
        var newest = await RequestAsync(busy);

        (await ClaimAsync(_one))!.Id.ShouldBe(newest);
        // After its deployment it is last in the queue.
        await RequestAsync(busy);
        (await ClaimAsync(_one))!.Id.ShouldBe(waiting);
    }

    [Fact]
    public async Task Concurrent_workers_claim_each_deployment_once_and_one_per_shop_at_a_time()
    {
        var shops = Enumerable.Range(0, 10).Select(_ => Guid.CreateVersion7()).ToList();
        foreach (var shop in shops)
            await RequestAsync(shop);
        // A second queued deployment of each shop, which superseding normally prevents.
        await ExecuteAsync(
            """
            insert into deployments (id, shop_id, sequence, kind, priority, slug, spec, created_at)
            select gen_random_uuid(), shop_id, sequence + 1000000000, kind, priority, slug, spec, created_at from deployments
            """);

        var claims = await Task.WhenAll(Enumerable.Range(0, 8).Select(async n =>
        {
            var mine = new List<DeploymentJob>();
            while (await ClaimAsync(n % 2 == 0 ? _one : _other) is { } job)
                mine.Add(job);
            return mine;
        }));

        var jobs = claims.SelectMany(mine => mine).ToList();
        jobs.Select(job => job.ShopId).ShouldBe(shops, ignoreOrder: true);
        jobs.Select(job => job.Id).ShouldBeUnique();
    }

    [Fact]
    public async Task A_worker_that_lost_its_lease_can_not_write()
    {
        await RequestAsync(Guid.CreateVersion7());
        var late = (await ClaimAsync(_one))!;
        var steps = await StepsAsync(late);
        await ExecuteAsync("update deployments set lease_until = now() - interval '1 second'");
        // This also removes the rows of both workers, which hold no session lock here; the test is about the lease.
        (await Get<ReleaseOrphanedLeases>().ExecuteAsync(None)).ShouldBe(1);
        var current = (await ClaimAsync(_other))!;
        current.Id.ShouldBe(late.Id);
        current.FencingToken.ShouldBe(late.FencingToken + 1);
        var files = new[] { ReleaseFile.Page("index.html", "late"u8.ToArray()) };
        var release = await Get<StoreRelease>().ExecuteAsync(current, [ReleaseFile.Page("index.html", "current"u8.ToArray())], None);
        var before = await WrittenAsync();

        await Should.ThrowAsync<LeaseLostException>(() => Get<RecordProgress>().ExecuteAsync(late, steps, None));
        await Should.ThrowAsync<LeaseLostException>(() => Get<StoreRelease>().ExecuteAsync(late, files, None));
        await Should.ThrowAsync<LeaseLostException>(() => Get<ActivateRelease>().ExecuteAsync(late, release, steps, None));
        await Should.ThrowAsync<LeaseLostException>(() => Get<FailDeployment>().ExecuteAsync(late, steps, DeploymentStatus.Failed, null, None));
        await Should.ThrowAsync<LeaseLostException>(() => Get<ReturnDeployment>().ExecuteAsync(late, steps, ReturnReason.StepFailed, TimeSpan.Zero, null, None));
        (await Get<RenewLeases>().ExecuteAsync([late], None)).ShouldBeEmpty();
        // The same worker again, with its earlier token.
        await Should.ThrowAsync<LeaseLostException>(() => Get<RecordProgress>().ExecuteAsync(current with { FencingToken = late.FencingToken }, steps, None));

        (await WrittenAsync()).ShouldBe(before);
        (await Get<ActivateRelease>().ExecuteAsync(current, release, steps, None)).ShouldBe(DeploymentStatus.Live);
        await Should.ThrowAsync<LeaseLostException>(() => Get<FailDeployment>().ExecuteAsync(current, steps, DeploymentStatus.Failed, null, None));

        // For messages only the last sequence number is compared, because delivered ones are deleted.
        async Task<string> WrittenAsync() => string.Join('\n', await Task.WhenAll(
            new[] { "deployments", "stores", "release_files", "files", "deployment_steps", "(select partition_key, last_sequence from outbox_keys)" }.Select(RowsAsync)));
    }

    [Fact]
    public async Task A_lease_is_held_as_long_as_it_is_renewed()
    {
        await RequestAsync(Guid.CreateVersion7());
        var job = (await ClaimAsync(Guid.CreateVersion7()))!;
        await using var alive = await RegisterLiveWorkerAsync(job.Worker);
        await ExecuteAsync("update deployments set lease_until = now() - interval '1 second'");

        (await Get<RenewLeases>().ExecuteAsync([job], None)).Single().ShouldBe((job.Id, job.FencingToken, false));

        (await Get<ReleaseOrphanedLeases>().ExecuteAsync(None)).ShouldBe(0);
    }

    [Fact]
    public async Task A_lease_renewed_while_it_is_being_released_is_kept()
    {
        var shop = Guid.CreateVersion7();
        await RequestAsync(shop);
        var job = (await ClaimAsync(Guid.CreateVersion7()))!;
        await using var alive = await RegisterLiveWorkerAsync(job.Worker);
        await ExecuteAsync("update deployments set lease_until = now() - interval '1 second'");
        await using var connection = await _database.DataSource.OpenConnectionAsync();
        await using var holding = await connection.BeginTransactionAsync();
        await ShopLock.Take(shop).ExecuteAsync(holding, None);

        var taking = Get<ReleaseOrphanedLeases>().ExecuteAsync(None);
        await UntilBlockedAsync();
        (await Get<RenewLeases>().ExecuteAsync([job], None)).ShouldHaveSingleItem();
        await holding.CommitAsync();

        (await taking).ShouldBe(0);
        (await _deployer.DeploymentAsync(job.Id)).GetProperty("status").GetString().ShouldBe("running");
    }

    [Fact]
    public async Task A_worker_waiting_for_files_of_another_release_can_renew_its_lease()
    {
        await RequestAsync(Guid.CreateVersion7());
        var job = (await ClaimAsync(_one))!;
        await ExecuteAsync("update deployments set lease_until = now() - interval '1 second'");
        var page = ReleaseFile.Page("index.html", "of both"u8.ToArray());
        await using var connection = await _database.DataSource.OpenConnectionAsync();
        await using var holding = await connection.BeginTransactionAsync();
        await new Statements("insert into files (digest, size, content) values (@Bytes, 0, '')", new { page.Digest.Bytes }).ExecuteAsync(holding, None);

        var storing = Get<StoreRelease>().ExecuteAsync(job, [page], None);
        await UntilBlockedAsync();
        (await Get<RenewLeases>().ExecuteAsync([job], None).WaitAsync(TimeSpan.FromSeconds(60))).ShouldHaveSingleItem();

        await holding.CommitAsync();
        await storing;
    }

    [Fact]
    public async Task A_release_can_be_stored_while_a_holder_of_the_shops_lock_waits_for_the_deployment()
    {
        var shop = Guid.CreateVersion7();
        await RequestAsync(shop);
        var job = (await ClaimAsync(_one))!;
        await using var connection = await _database.DataSource.OpenConnectionAsync();
        await using var holding = await connection.BeginTransactionAsync();
        await ShopLock.Take(shop).ExecuteAsync(holding, None);

        await Get<StoreRelease>().ExecuteAsync(job, [ReleaseFile.Page("index.html", "x"u8.ToArray())], None).WaitAsync(TimeSpan.FromSeconds(60));
    }

    [Fact]
    public async Task A_worker_without_a_session_lock_loses_its_leases_before_they_expire()
    {
        await RequestAsync(Guid.CreateVersion7());
        var worker = Guid.CreateVersion7();
        DeploymentJob job;
        await using (await RegisterLiveWorkerAsync(worker))
        {
            job = (await ClaimAsync(worker))!;
            (await Get<ReleaseOrphanedLeases>().ExecuteAsync(None)).ShouldBe(0);
        }

        await Eventually.Async(async () => (await Get<ReleaseOrphanedLeases>().ExecuteAsync(None)).ShouldBe(1));

        var view = await _deployer.DeploymentAsync(job.Id);
        view.GetProperty("status").GetString().ShouldBe("queued");
        view.GetProperty("lostLeases").GetInt32().ShouldBe(1);
        view.GetProperty("steps").EnumerateArray().ShouldAllBe(step => step.GetProperty("attempts").GetInt32() == 0);
    }

    [Fact]
    public async Task A_deployment_that_kills_its_workers_eventually_fails()
    {
        var deployment = await RequestAsync(Guid.CreateVersion7());
        for (var n = 0; n < 20; n++)
        {
            (await ClaimAsync(Guid.CreateVersion7())).ShouldNotBeNull($"claim {n}");
            (await Get<ReleaseOrphanedLeases>().ExecuteAsync(None)).ShouldBe(1);
        }

        (await ClaimAsync(_one)).ShouldBeNull();
        var finished = await _neighbours.FinishedAsync(deployment);
        finished.GetProperty("status").GetString().ShouldBe("failed");
        finished.GetProperty("error").GetProperty("code").GetString().ShouldBe("worker-lost");
    }

    [Fact]
    public async Task A_deployment_returned_after_a_newer_one_was_accepted_is_superseded()
    {
        var shop = Guid.CreateVersion7();
        var older = await RequestAsync(shop);
        var job = (await ClaimAsync(_one))!;
        var newer = await RequestAsync(shop);

        (await Get<ReturnDeployment>().ExecuteAsync(job, await StepsAsync(job), ReturnReason.MustWait, TimeSpan.Zero, null, None)).ShouldBe(DeploymentStatus.Superseded);

        (await _neighbours.FinishedAsync(older)).GetProperty("status").GetString().ShouldBe("superseded");
        (await ClaimAsync(_one))!.Id.ShouldBe(newer);
    }

    [Fact]
    public async Task An_older_deployment_never_replaces_the_release_of_a_newer_one()
    {
        var shop = Guid.CreateVersion7();
        await RequestAsync(shop);
        var job = (await ClaimAsync(_one))!;
        var steps = await StepsAsync(job);
        var release = await Get<StoreRelease>().ExecuteAsync(job, [ReleaseFile.Page("index.html", "older"u8.ToArray())], None);
        await ExecuteAsync("update stores set active_sequence = $1 where shop_id = $2", job.Sequence + 1, shop);

        (await Get<ActivateRelease>().ExecuteAsync(job, release, steps, None)).ShouldBe(DeploymentStatus.Superseded);

        (await RowsAsync("(select active_release from stores)")).ShouldBe("()");
    }

    [Fact]
    public async Task A_cancellation_is_noticed_at_lease_renewal_and_at_activation()
    {
        var shop = Guid.CreateVersion7();
        var deployment = await RequestAsync(shop);
        var job = (await ClaimAsync(_one))!;
        var release = await Get<StoreRelease>().ExecuteAsync(job, [ReleaseFile.Page("index.html", "x"u8.ToArray())], None);
        await _deployer.CancelAsync(shop, deployment);

        (await Get<RenewLeases>().ExecuteAsync([job], None)).Single().CancelRequested.ShouldBeTrue();
        (await Get<ActivateRelease>().ExecuteAsync(job, release, await StepsAsync(job), None)).ShouldBe(DeploymentStatus.Cancelled);
        (await _neighbours.FinishedAsync(deployment)).GetProperty("status").GetString().ShouldBe("cancelled");
    }

    [Theory]
    [InlineData("kind = 'release'")]
    [InlineData("priority = 3")]
    [InlineData("status = 'paused', finished_at = now()")]
    [InlineData("worker = gen_random_uuid()")]
    [InlineData("lease_until = now()")]
    [InlineData("finished_at = now()")]
    [InlineData("status = 'running'")]
    [InlineData("status = 'running', worker = gen_random_uuid()")]
    [InlineData("status = 'live'")]
    public async Task The_database_refuses_inconsistent_deployments(string change)
    {
        await RequestAsync(Guid.CreateVersion7());
        (await Should.ThrowAsync<PostgresException>(() => ExecuteAsync($"update deployments set {change}"))).SqlState.ShouldBe(PostgresErrorCodes.CheckViolation);
        (await ExecuteAsync("update deployments set status = 'running', worker = $1, lease_until = now()", _one)).ShouldBe(1);
        (await ExecuteAsync("update deployments set status = 'live', worker = null, lease_until = null, finished_at = now()")).ShouldBe(1);
    }

    [Fact]
    public async Task Activation_waits_for_a_slug_still_used_by_a_deleted_shop()
    {
        var (first, second) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        foreach (var shop in new[] { first, second })
            await _deployer.RequestAsync(shop, "same", null);
        var jobs = new[] { (await ClaimAsync(_one))!, (await ClaimAsync(_one))! };
        var releases = new List<Guid>();
        foreach (var job in jobs)
            releases.Add(await Get<StoreRelease>().ExecuteAsync(job, [ReleaseFile.Page("index.html", "x"u8.ToArray())], None));
        await Get<ActivateRelease>().ExecuteAsync(jobs[0], releases[0], await StepsAsync(jobs[0]), None);

        var wait = await Should.ThrowAsync<MustWaitException>(async () => await Get<ActivateRelease>().ExecuteAsync(jobs[1], releases[1], await StepsAsync(jobs[1]), None));
        wait.Code.ShouldBe("slug-in-use");

        await _deployer.DeleteShopAsync(first, "same");
        (await Get<ActivateRelease>().ExecuteAsync(jobs[1], releases[1], await StepsAsync(jobs[1]), None)).ShouldBe(DeploymentStatus.Live);
    }

    private async Task<IReadOnlyList<StepState>> StepsAsync(DeploymentJob job)
    {
        await using var connection = await _database.DataSource.OpenConnectionAsync();
        return await DeploymentSteps.ReadAsync(connection, null, job.Id, job.Kind, None);
    }

    /// <summary>Registers a live worker: its row, and a session that holds its advisory lock.</summary>
    private async Task<NpgsqlConnection> RegisterLiveWorkerAsync(Guid worker)
    {
        var key = Random.Shared.Next(2_000_000, int.MaxValue);
        var connection = new NpgsqlConnection(_database.ConnectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("select pg_advisory_lock($1, $2)", connection);
        command.Parameters.AddWithValue(LockClass);
        command.Parameters.AddWithValue(key);
        await command.ExecuteNonQueryAsync();
        await ExecuteAsync("insert into processes (id, lock_key, service, host, process_id, version) values ($1, $2, 'test', 'test', 1, '')", worker, key);
        return connection;
    }
}
