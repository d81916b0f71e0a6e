using System.Text.Json;
using Npgsql;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Deployments;

/// <summary>A StoreDeployer whose steps may fail twice.</summary>
public sealed class DeployerWithTwoAttempts(PostgresServer server) : SharedDeployer(server, ("Deployments:MaxFailures", "2"));

/// <summary>Deployments from Backend's message to the served page and the reply, over real sockets and a real database.</summary>
public sealed class DeploymentTests(DeployerWithTwoAttempts shared) : IClassFixture<DeployerWithTwoAttempts>, IDisposable
{
    private readonly Guid _shop = Guid.CreateVersion7();
    private readonly string _slug = $"mugs-{Guid.NewGuid():n}";
    private readonly Neighbours _neighbours = shared.Neighbours;
    private readonly DeployerHost _deployer = shared.Deployer;

    public void Dispose() => _neighbours.Open();

    // A new bundle each time, so that it is not in the deployer's cache.
    private string Publish() => _neighbours.Publish(Bundles.Entries(css: $"a {{ content: '{Guid.NewGuid()}' }}"));

    private static string Status(JsonElement message) => message.GetProperty("status").GetString()!;

    private async Task<Guid> DeployAsync(string name, string? digest = null)
    {
        var deployment = await _deployer.RequestAsync(_shop, _slug, digest ?? Publish(), name);
        var finished = await _neighbours.FinishedAsync(deployment);
        Status(finished).ShouldBe("live", finished.ToString());
        return finished.GetProperty("release").GetGuid();
    }

    [Fact]
    public async Task A_deployment_goes_live_and_reports_its_steps()
    {
        var deployment = await _deployer.RequestAsync(_shop, _slug, Publish(), "Tea & mugs");

        var finished = await _neighbours.FinishedAsync(deployment);
        Status(finished).ShouldBe("live");
        finished.GetProperty("url").GetString().ShouldBe($"https://shops.example/stores/{_slug}/");
        finished.GetProperty("release").GetGuid().ShouldNotBe(Guid.Empty);
        finished.TryGetProperty("error", out _).ShouldBeFalse();
        var steps = finished.GetProperty("steps").EnumerateArray().ToList();
        steps.Select(step => step.GetProperty("name").GetString()).ShouldBe(["fetch", "render", "store", "verify", "activate"]);
        steps.ShouldAllBe(step => step.GetProperty("attempts").GetInt32() == 1);
        var times = steps.SelectMany(step => new[] { step.GetProperty("startedAt").GetDateTimeOffset(), step.GetProperty("finishedAt").GetDateTimeOffset() }).ToList();
        times.ShouldBe(times.Order());

        (await _deployer.PageAsync(_slug)).ShouldContain("Tea &amp; mugs");
        (await _deployer.PageAsync(_slug, "products/a-1/")).ShouldContain("<h1>Mug</h1>");

        var messages = _neighbours.MessagesAbout(deployment);
        messages.SkipLast(1).ShouldAllBe(message => message.Type == "deployment.progressed" && Status(message.Data) == "running");
        messages[^1].Type.ShouldBe("deployment.finished");

        var view = await _deployer.DeploymentAsync(deployment);
        Status(view).ShouldBe("live");
        view.GetProperty("release").GetGuid().ShouldBe(finished.GetProperty("release").GetGuid());
    }

    [Fact]
    public async Task Replies_have_the_trace_and_the_correlation_id_of_the_request()
    {
        var deployment = await _deployer.RequestAsync(_shop, _slug, Publish());
        await _neighbours.FinishedAsync(deployment);

        var messages = _neighbours.Backend.Requests.Where(request => request.Path == "/messages").Select(request => JsonDocument.Parse(request.Body).RootElement)
            .Where(message => message.GetProperty("subject").GetString() == deployment.ToString()).ToList();
        messages.ShouldAllBe(message => message.GetProperty("correlationid").GetString() == $"test-{deployment:n}");
        messages.Select(message => message.GetProperty("traceparent").GetString()![3..35]).Distinct().Count().ShouldBe(1);
        _neighbours.Registry.Requests.ShouldContain(request => request.Path.StartsWith("/bundles/") && request.Headers["X-Correlation-ID"] == $"test-{deployment:n}");
    }

    [Fact]
    public async Task A_repeated_message_creates_one_deployment()
    {
        var (deployment, message) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        var data = new
        {
            deploymentId = deployment,
            shopId = _shop,
            slug = _slug,
            kind = "deployment",
            priority = 1,
            template = new { name = "plain", version = "1.0.0", digest = Publish() },
            shop = new { name = "Once", settings = new { }, products = Array.Empty<object>() },
            requestedAt = DateTimeOffset.UtcNow,
        };
        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => _deployer.SendAsync("deployment.requested", _shop, deployment, data, message, sequence: 1)));
        await _neighbours.FinishedAsync(deployment);

        await using var command = shared.Database.DataSource.CreateCommand("select count(*) from releases where shop_id = $1");
        command.Parameters.AddWithValue(_shop);
        (await command.ExecuteScalarAsync()).ShouldBe(1L);
        _neighbours.MessagesAbout(deployment).Count(sent => sent.Type == "deployment.finished").ShouldBe(1);
    }

    [Fact]
    public async Task A_newer_deployment_supersedes_a_queued_one_and_not_a_running_one()
    {
        await DeployAsync("zero");
        _neighbours.HoldUp();
        var running = await _deployer.RequestAsync(_shop, _slug, Publish(), "first");
        await _deployer.StatusBecomesAsync(running, "running");
        var waiting = await _deployer.RequestAsync(_shop, _slug, Publish(), "second");
        var newest = await _deployer.RequestAsync(_shop, _slug, Publish(), "third");

        Status(await _neighbours.FinishedAsync(waiting)).ShouldBe("superseded");
        _neighbours.Open();
        Status(await _neighbours.FinishedAsync(running)).ShouldBe("live");
        Status(await _neighbours.FinishedAsync(newest)).ShouldBe("live");
        (await _deployer.PageAsync(_slug)).ShouldContain("third");
    }

    [Fact]
    public async Task A_queued_deployment_is_cancelled_at_once_and_a_running_one_soon()
    {
        _neighbours.HoldUp();
        var running = await _deployer.RequestAsync(_shop, _slug, Publish());
        await _deployer.StatusBecomesAsync(running, "running");
        var waiting = await _deployer.RequestAsync(_shop, _slug, Publish());

        await _deployer.CancelAsync(_shop, waiting);
        Status(await _neighbours.FinishedAsync(waiting)).ShouldBe("cancelled");
        await _deployer.CancelAsync(_shop, running);
        Status(await _neighbours.FinishedAsync(running)).ShouldBe("cancelled");

        _neighbours.Open();
        ((int)(await _deployer.Http.GetAsync(new Uri($"/stores/{_slug}/", UriKind.Relative))).StatusCode).ShouldBe(404);
    }

    [Fact]
    public async Task A_cancellation_after_going_live_is_ignored()
    {
        var deployment = await _deployer.RequestAsync(_shop, _slug, Publish());
        await _neighbours.FinishedAsync(deployment);

        await _deployer.CancelAsync(_shop, deployment);

        Status(await _deployer.DeploymentAsync(deployment)).ShouldBe("live");
        (await _deployer.PageAsync(_slug)).ShouldContain("Mug shop");
    }

    [Fact]
    public async Task An_unavailable_registry_uses_up_no_attempts()
    {
        await _neighbours.Registry.StopAsync();
        var deployment = await _deployer.RequestAsync(_shop, _slug, Publish());
        // More times than a step may fail.
        await Eventually.Async(async () =>
        {
            await using var command = shared.Database.DataSource.CreateCommand("select waits from deployments where id = $1");
            command.Parameters.AddWithValue(deployment);
            ((int)(await command.ExecuteScalarAsync())!).ShouldBeGreaterThan(3);
        }, TimeSpan.FromMinutes(2));
        await Eventually.Async(async () =>
        {
            var waiting = await _deployer.DeploymentAsync(deployment);
            Status(waiting).ShouldBe("queued");
            waiting.GetProperty("error").GetProperty("code").GetString().ShouldBe("dependency-unavailable");
        });

        await _neighbours.Registry.StartAgainAsync();

        var finished = await _neighbours.FinishedAsync(deployment);
        Status(finished).ShouldBe("live");
        finished.GetProperty("steps").EnumerateArray().ShouldAllBe(step => step.GetProperty("attempts").GetInt32() == 1);
    }

    [Fact]
    public async Task A_template_unknown_to_the_registry_fails_permanently_and_the_store_stays_unchanged()
    {
        await DeployAsync("before");

        var deployment = await _deployer.RequestAsync(_shop, _slug, digest: null, name: "after");

        var finished = await _neighbours.FinishedAsync(deployment);
        Status(finished).ShouldBe("failed");
        finished.GetProperty("error").GetProperty("code").GetString().ShouldBe("template-not-found");
        finished.GetProperty("steps")[0].GetProperty("error").GetProperty("code").GetString().ShouldBe("template-not-found");
        (await _deployer.PageAsync(_slug)).ShouldContain("before");
    }

    [Fact]
    public async Task A_page_with_a_broken_link_never_goes_live()
    {
        var digest = _neighbours.Publish(Bundles.Entries("""<!doctype html><html><body><a href="none.html">x</a></body></html>"""));

        var finished = await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, digest));

        Status(finished).ShouldBe("failed");
        finished.GetProperty("error").GetProperty("code").GetString().ShouldBe("broken-link");
        finished.GetProperty("error").GetProperty("message").GetString()!.ShouldContain("none.html");
    }

    [Fact]
    public async Task A_corrupt_bundle_is_fetched_again_then_fails_and_a_retry_continues_the_attempts()
    {
        var entries = Bundles.Entries(css: "a { color: green }");
        var digest = _neighbours.Publish(entries, instead: "garbled"u8.ToArray());
        var deployment = await _deployer.RequestAsync(_shop, _slug, digest);

        var finished = await _neighbours.FinishedAsync(deployment);
        Status(finished).ShouldBe("failed");
        finished.GetProperty("error").GetProperty("code").GetString().ShouldBe("internal-error");
        finished.GetProperty("steps")[0].GetProperty("attempts").GetInt32().ShouldBe(2);

        _neighbours.Publish(entries);
        await _deployer.RetryAsync(_shop, deployment);
        await _deployer.StatusBecomesAsync(deployment, "live");
        (await _deployer.DeploymentAsync(deployment)).GetProperty("steps")[0].GetProperty("attempts").GetInt32().ShouldBe(3);
        (await _deployer.PageAsync(_slug)).ShouldContain("Mug shop");
    }

    [Fact]
    public async Task Retrying_a_failed_deployment_after_a_newer_one_went_live_supersedes_it()
    {
        var failed = await _deployer.RequestAsync(_shop, _slug, digest: null);
        Status(await _neighbours.FinishedAsync(failed)).ShouldBe("failed");
        await DeployAsync("newer");

        await _deployer.RetryAsync(_shop, failed);

        await _deployer.StatusBecomesAsync(failed, "superseded");
        (await _deployer.PageAsync(_slug)).ShouldContain("newer");
    }

    [Fact]
    public async Task A_rollback_activates_the_previous_or_the_requested_release()
    {
        var first = await DeployAsync("one");
        await DeployAsync("two");
        var third = await DeployAsync("three");

        var back = await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, null, kind: "rollback", priority: 0));
        Status(back).ShouldBe("live", back.ToString());
        back.GetProperty("steps").EnumerateArray().Select(step => step.GetProperty("name").GetString()).ShouldBe(["verify", "activate"]);
        (await _deployer.PageAsync(_slug)).ShouldContain("two");

        Status(await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, null, kind: "rollback", priority: 0, rollbackTo: first))).ShouldBe("live");
        (await _deployer.PageAsync(_slug)).ShouldContain("one");
        Status(await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, null, kind: "rollback", priority: 0, rollbackTo: third))).ShouldBe("live");
        (await _deployer.PageAsync(_slug)).ShouldContain("three");
    }

    [Fact]
    public async Task A_rollback_without_an_earlier_release_fails()
    {
        await DeployAsync("only");

        var former = await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, null, kind: "rollback", priority: 0));
        former.GetProperty("error").GetProperty("code").GetString().ShouldBe("no-former-release");
        var unknown = await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, null, kind: "rollback", priority: 0, rollbackTo: Guid.CreateVersion7()));
        unknown.GetProperty("error").GetProperty("code").GetString().ShouldBe("release-not-found");
    }

    [Fact]
    public async Task Deleting_a_shop_takes_its_store_down_and_cancels_its_deployments()
    {
        await DeployAsync("before");
        _neighbours.HoldUp();
        var running = await _deployer.RequestAsync(_shop, _slug, Publish());
        await _deployer.StatusBecomesAsync(running, "running");
        var waiting = await _deployer.RequestAsync(_shop, _slug, Publish());

        await _deployer.DeleteShopAsync(_shop, _slug);

        await Eventually.TrueAsync(() => _neighbours.MessagesAbout(_shop).Any(message => message.Type == "store.removed"));
        ((int)(await _deployer.Http.GetAsync(new Uri($"/stores/{_slug}/", UriKind.Relative))).StatusCode).ShouldBe(410);
        Status(await _neighbours.FinishedAsync(waiting)).ShouldBe("cancelled");
        _neighbours.Open();
        Status(await _neighbours.FinishedAsync(running)).ShouldBe("cancelled");
        ((int)(await _deployer.Http.GetAsync(new Uri($"/stores/{_slug}/", UriKind.Relative))).StatusCode).ShouldBe(410);

        // Another shop can use the slug now.
        var successor = await _deployer.RequestAsync(Guid.CreateVersion7(), _slug, Publish(), "successor");
        Status(await _neighbours.FinishedAsync(successor)).ShouldBe("live");
        (await _deployer.PageAsync(_slug)).ShouldContain("successor");
    }

    [Fact]
    public async Task Internal_endpoints_need_the_token()
    {
        foreach (var path in new[] { "/deployments", $"/deployments/{Guid.NewGuid()}", $"/deployments/{Guid.NewGuid()}/status" })
            ((int)(await _deployer.Http.GetAsync(new Uri(path, UriKind.Relative))).StatusCode).ShouldBe(401, path);
        ((int)(await _deployer.Http.PostAsync(new Uri("/messages", UriKind.Relative), null)).StatusCode).ShouldBe(401);
    }

    [Fact]
    public async Task Deployments_are_listed_by_status_page_by_page()
    {
        var ids = new List<Guid>();
        for (var n = 0; n < 3; n++)
        {
            var deployment = await _deployer.RequestAsync(Guid.CreateVersion7(), $"{_slug}-{n}", digest: null);
            await _neighbours.FinishedAsync(deployment);
            ids.Add(deployment);
        }

        var listed = new List<Guid>();
        string? cursor = null;
        do
        {
            var page = await GetAsync($"/deployments?status=failed&limit=2&cursor={cursor}");
            listed.AddRange(page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("id").GetGuid()));
            cursor = page.TryGetProperty("nextCursor", out var next) ? next.GetString() : null;
        }
        while (cursor is not null);

        listed.ShouldBeUnique();
        listed.Where(ids.Contains).ShouldBe(Enumerable.Reverse(ids));
        (await GetAsync("/deployments?status=nonsense")).GetProperty("errors").GetProperty("status").GetArrayLength().ShouldBe(1);
        (await GetAsync("/deployments?cursor=nonsense")).GetProperty("errors").GetProperty("cursor").GetArrayLength().ShouldBe(1);
    }

    private async Task<JsonElement> GetAsync(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Add("X-Internal-Token", DeployerClient.Token);
        using var response = await _deployer.Http.SendAsync(request);
        return JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
    }
}
