using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Deployments;

public sealed class DeploymentEndpointTests(BackendHost backend) : IClassFixture<BackendHost>
{
    [Fact]
    public async Task A_deployment_is_accepted_and_the_shop_as_it_stands_goes_to_the_deployer()
    {
        var shop = await backend.CreateShopAsync();

        using var response = await backend.Client.PostAsync($"/api/shops/{shop.Id()}/deployments", null);

        var deployment = await response.ReadAsync(HttpStatusCode.Accepted);
        response.Headers.Location!.ToString().ShouldBe($"/api/deployments/{deployment.Id()}");
        ((string)deployment["status"]!).ShouldBe("queued");
        ((string)deployment["kind"]!).ShouldBe("deployment");
        deployment["shopId"]!.GetValue<Guid>().ShouldBe(shop.Id());
        deployment["steps"]!.AsArray().Count.ShouldBe(0);
        ((string)deployment["template"]!["digest"]!).ShouldStartWith("sha256:");
        JsonNode.DeepEquals(await GetAsync(deployment.Id()), deployment).ShouldBeTrue();
        JsonNode.DeepEquals(await GetAsync(deployment.Id(), "/status"), deployment).ShouldBeTrue();

        var message = await backend.Deployer.MessageAsync(shop.Id(), "deployment.requested");
        ((string)message["source"]!).ShouldBe("backend");
        ((string)message["correlationid"]!).ShouldBe(response.Headers.GetValues("X-Correlation-ID").Single());
        ((string?)message["traceparent"]).ShouldNotBeNullOrEmpty();
        ((string)message["subject"]!).ShouldBe(deployment.Id().ToString());
        var data = message["data"]!.AsObject();
        data["deploymentId"]!.GetValue<Guid>().ShouldBe(deployment.Id());
        data["shopId"]!.GetValue<Guid>().ShouldBe(shop.Id());
        ((string)data["slug"]!).ShouldBe((string)shop["slug"]!);
        ((string)data["kind"]!).ShouldBe("deployment");
        data["priority"]!.GetValue<int>().ShouldBe(1);
        JsonNode.DeepEquals(data["template"], deployment["template"]).ShouldBeTrue();
        ((string)data["shop"]!["name"]!).ShouldBe("Blue Mug Co.");
        JsonNode.DeepEquals(data["shop"]!["settings"], shop["settings"]).ShouldBeTrue();
        JsonNode.DeepEquals(data["shop"]!["products"], shop["products"]).ShouldBeTrue();
        data["requestedAt"].ShouldNotBeNull();
    }

    [Fact]
    public async Task A_deployment_is_accepted_while_the_deployer_and_the_registry_are_down_and_delivered_when_it_is_back()
    {
        var shop = await backend.CreateShopAsync();
        await backend.Deployer.StopAsync();
        await backend.Registry.StopAsync();
        try
        {
            var first = await backend.DeployAsync(shop);
            var second = await backend.DeployAsync(shop);
            ((string)(await GetAsync(first.Id()))["status"]!).ShouldBe("queued");

            await backend.Deployer.StartAgainAsync();

            await Eventually.Async(
                () =>
                {
                    backend.Deployer.MessagesOf(shop.Id()).Select(message => (string)message["subject"]!).ShouldBe([first.Id().ToString(), second.Id().ToString()]);
                    return Task.CompletedTask;
                });
        }
        finally
        {
            await backend.Deployer.StopAsync();
            await backend.Deployer.StartAgainAsync();
            await backend.Registry.StartAgainAsync();
        }
    }

    [Fact]
    public async Task Another_version_is_deployed_when_the_settings_fit_it()
    {
        backend.Registry.Templates["nova"] =
        [
            RegistryStub.Version("nova", "1.0.0"),
            RegistryStub.Version("nova", "2.0.0", parameters: new JsonArray(new JsonObject { ["name"] = "headline", ["type"] = "text", ["label"] = "Headline", ["required"] = true })),
        ];
        var shop = BackendHost.NewShop();
        shop["template"] = new JsonObject { ["name"] = "nova", ["version"] = "1.0.0" };
        shop = await (await backend.Client.PostAsJsonAsync("/api/shops", shop)).ReadAsync(HttpStatusCode.Created);
        var path = $"/api/shops/{shop.Id()}/deployments";

        (await (await backend.Client.PostAsJsonAsync(path, new { version = "2.0.0" })).ReadBadFieldsAsync()).ShouldBe(["settings.accent", "settings.headline"], ignoreOrder: true);
        (await (await backend.Client.PostAsJsonAsync(path, new { version = "3.0.0" })).ReadBadFieldsAsync()).ShouldBe(["version"]);
        (await (await backend.Client.PostAsJsonAsync(path, new { versoin = "2.0.0" })).ReadBadFieldsAsync()).ShouldBe(["versoin"]);

        backend.Registry.Templates["nova"].Add(RegistryStub.Version("nova", "1.0.1", status: "yanked"));
        var deployment = await (await backend.Client.PostAsJsonAsync(path, new { version = "1.0.1" })).ReadAsync(HttpStatusCode.Accepted);
        ((string)deployment["template"]!["version"]!).ShouldBe("1.0.1");
        ((string)deployment["template"]!["digest"]!).ShouldBe((string)backend.Registry.Templates["nova"][2]["digest"]!);
    }

    [Fact]
    public async Task An_unknown_version_is_503_while_the_registry_is_down_and_a_known_one_is_accepted()
    {
        var shop = await backend.CreateShopAsync();
        var path = $"/api/shops/{shop.Id()}/deployments";
        await (await backend.Client.PostAsJsonAsync(path, new { version = "1.0.0" })).ReadAsync(HttpStatusCode.Accepted);
        await backend.Registry.StopAsync();
        try
        {
            await (await backend.Client.PostAsJsonAsync(path, new { version = "1.0.0" })).ReadAsync(HttpStatusCode.Accepted);
            using var unknown = await backend.Client.PostAsJsonAsync(path, new { version = "0.9.0" });
            await unknown.ReadProblemAsync(HttpStatusCode.ServiceUnavailable);
            unknown.Headers.RetryAfter.ShouldNotBeNull();
            unknown.Headers.GetValues("X-Should-Retry").ShouldBe(["false"]);
        }
        finally
        {
            await backend.Registry.StartAgainAsync();
        }
    }

    [Fact]
    public async Task A_redeployment_of_a_live_shop_has_a_lower_place_than_a_first_one()
    {
        var (shop, first) = await backend.CreateLiveShopAsync();
        var again = await backend.DeployAsync(shop);

        var messages = await Eventually.Async(() =>
        {
            var sent = backend.Deployer.MessagesOf(shop.Id());
            sent.Count.ShouldBe(2);
            return Task.FromResult(sent);
        });
        messages.Select(message => ((string)message["subject"]!, message["data"]!["priority"]!.GetValue<int>()))
            .ShouldBe([(first.Id().ToString(), 1), (again.Id().ToString(), 2)]);
    }

    [Fact]
    public async Task Deployments_of_one_shop_at_once_are_all_accepted_and_sent_in_the_order_of_their_acceptance()
    {
        var shop = await backend.CreateShopAsync();

        var deployments = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => backend.DeployAsync(shop)));

        await Eventually.Async(() =>
        {
            backend.Deployer.MessagesOf(shop.Id()).Count.ShouldBe(20);
            return Task.CompletedTask;
        });
        var messages = backend.Deployer.MessagesOf(shop.Id());
        messages.Select(message => (string)message["subject"]!).ShouldBe(deployments.Select(deployment => deployment.Id().ToString()), ignoreOrder: true);
        messages.Select(message => long.Parse((string)message["sequence"]!, System.Globalization.CultureInfo.InvariantCulture)).ShouldBeInOrder();

        var page = await (await backend.Client.GetAsync($"/api/shops/{shop.Id()}/deployments?limit=15")).ReadAsync(HttpStatusCode.OK);
        var rest = await (await backend.Client.GetAsync($"/api/shops/{shop.Id()}/deployments?limit=15&cursor={(string)page["nextCursor"]!}")).ReadAsync(HttpStatusCode.OK);
        rest["nextCursor"].ShouldBeNull();
        page["items"]!.AsArray().Concat(rest["items"]!.AsArray()).Select(item => item!.AsObject().Id()).ShouldBe(
            deployments.Select(deployment => deployment.Id()).OrderDescending());
    }

    [Fact]
    public async Task Fifty_calls_with_one_idempotency_key_make_one_deployment()
    {
        var shop = await backend.CreateShopAsync();
        var key = Guid.NewGuid().ToString();

        var responses = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => PostAsync($"/api/shops/{shop.Id()}/deployments", key)));

        var accepted = responses.Where(response => response.StatusCode == HttpStatusCode.Accepted).ToList();
        accepted.ShouldNotBeEmpty();
        foreach (var waiting in responses.Except(accepted))
        {
            await waiting.ReadProblemAsync(HttpStatusCode.Conflict);
            waiting.Headers.RetryAfter.ShouldNotBeNull();
        }

        accepted.Select(response => response.Headers.Location!.ToString()).Distinct().Count().ShouldBe(1);
        var listed = await (await backend.Client.GetAsync($"/api/shops/{shop.Id()}/deployments")).ReadAsync(HttpStatusCode.OK);
        listed["items"]!.AsArray().Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_deployment_follows_what_the_deployer_says_and_never_goes_back()
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);
        var release = Guid.CreateVersion7();

        await backend.ProgressAsync(deployment, "running", "fetch", "render");
        var running = await GetAsync(deployment.Id());
        ((string)running["status"]!).ShouldBe("running");
        running["steps"]!.AsArray().Select(step => (string)step!["name"]!).ShouldBe(["fetch", "render"]);
        running["steps"]![0]!.AsObject().ContainsKey("finishedAt").ShouldBeTrue();
        running["steps"]![0]!["finishedAt"].ShouldBeNull();

        await backend.ProgressAsync(deployment, "queued", "fetch", "render");
        ((string)(await GetAsync(deployment.Id()))["status"]!).ShouldBe("running");

        await backend.FinishAsync(deployment, "live", release);
        var live = await GetAsync(deployment.Id());
        ((string)live["status"]!).ShouldBe("live");
        live["release"]!.GetValue<Guid>().ShouldBe(release);
        ((string)live["url"]!).ShouldBe("http://stores.test/stores/some-shop/");
        live["finishedAt"].ShouldNotBeNull();

        await backend.ProgressAsync(deployment, "running", "fetch");
        await backend.FinishAsync(deployment, "failed", error: new { code = "late", message = "Too late." });
        JsonNode.DeepEquals(await GetAsync(deployment.Id()), live).ShouldBeTrue();
    }

    [Fact]
    public async Task A_message_with_an_older_sequence_is_taken_and_ignored()
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);
        await backend.ProgressAsync(deployment, "running", "fetch", "render");

        await backend.TellAsync("deployment.progressed", shop.Id(), new { deploymentId = deployment.Id(), status = "running", steps = Array.Empty<object>(), at = DateTimeOffset.UtcNow }, sequence: 1);

        (await GetAsync(deployment.Id()))["steps"]!.AsArray().Count.ShouldBe(2);
    }

    [Theory]
    [InlineData("deployment.progressed", """{"status":"live","steps":[],"at":"2026-01-01T00:00:00Z"}""")]
    [InlineData("deployment.progressed", """{"status":"running","at":"2026-01-01T00:00:00Z"}""")]
    [InlineData("deployment.finished", """{"status":"running","steps":[],"finishedAt":"2026-01-01T00:00:00Z"}""")]
    [InlineData("deployment.finished", """{"status":"live","steps":[],"finishedAt":"2026-01-01T00:00:00Z"}""")]
    [InlineData("deployment.exploded", "{}")]
    public async Task A_message_that_can_never_be_applied_is_refused_for_good(string type, string json)
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);
        var data = JsonNode.Parse(json)!.AsObject();
        data["deploymentId"] = deployment.Id();

        await (await backend.SendMessageAsync(type, shop.Id(), data)).ReadProblemAsync(HttpStatusCode.UnprocessableEntity);
        ((string)(await GetAsync(deployment.Id()))["status"]!).ShouldBe("queued");
    }

    [Fact]
    public async Task A_message_about_a_deployment_that_is_not_known_is_taken_so_that_it_does_not_block_what_follows()
    {
        var shop = await backend.CreateShopAsync();
        await backend.FinishAsync(new JsonObject { ["id"] = Guid.NewGuid(), ["shopId"] = shop.Id() }, "live", Guid.NewGuid());

        ((string)(await (await backend.Client.GetAsync($"/api/shops/{shop.Id()}")).ReadAsync(HttpStatusCode.OK))["status"]!).ShouldBe("draft");
    }

    [Fact]
    public async Task A_cancel_is_passed_on_once_and_refused_when_the_deployment_is_final()
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);

        using var response = await backend.Client.PostAsync($"/api/deployments/{deployment.Id()}/cancel", null);
        var cancelling = await response.ReadAsync(HttpStatusCode.Accepted);
        response.Headers.Location!.ToString().ShouldBe($"/api/deployments/{deployment.Id()}");
        ((string)cancelling["status"]!).ShouldBe("queued");
        cancelling["cancelRequestedAt"].ShouldNotBeNull();
        await (await backend.Client.PostAsync($"/api/deployments/{deployment.Id()}/cancel", null)).ReadAsync(HttpStatusCode.Accepted);

        var message = await backend.Deployer.MessageAsync(shop.Id(), "deployment.cancel-requested");
        message["data"]!["deploymentId"]!.GetValue<Guid>().ShouldBe(deployment.Id());
        await backend.FinishAsync(deployment, "cancelled");
        ((string)(await GetAsync(deployment.Id()))["status"]!).ShouldBe("cancelled");
        ((string)(await (await backend.Client.PostAsync($"/api/deployments/{deployment.Id()}/cancel", null)).ReadProblemAsync(HttpStatusCode.Conflict))["detail"]!).ShouldContain("cancelled");
        await (await backend.Client.PostAsync($"/api/deployments/{deployment.Id()}/retry", null)).ReadProblemAsync(HttpStatusCode.Conflict);
        backend.Deployer.MessagesOf(shop.Id()).Count(sent => (string)sent["type"]! == "deployment.cancel-requested").ShouldBe(1);
    }

    [Fact]
    public async Task A_deployment_goes_live_although_cancelled_when_the_cancel_came_too_late()
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);
        await (await backend.Client.PostAsync($"/api/deployments/{deployment.Id()}/cancel", null)).ReadAsync(HttpStatusCode.Accepted);

        await backend.FinishAsync(deployment, "live", Guid.CreateVersion7());

        ((string)(await GetAsync(deployment.Id()))["status"]!).ShouldBe("live");
    }

    [Fact]
    public async Task A_failed_deployment_is_retried_under_its_id()
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);
        await (await backend.Client.PostAsync($"/api/deployments/{deployment.Id()}/retry", null)).ReadProblemAsync(HttpStatusCode.Conflict);
        await backend.FinishAsync(deployment, "failed", error: new { code = "bundle-missing", message = "The bundle is gone." });
        var failed = await GetAsync(deployment.Id());
        ((string)failed["error"]!["code"]!).ShouldBe("bundle-missing");

        var retried = await (await backend.Client.PostAsync($"/api/deployments/{deployment.Id()}/retry", null)).ReadAsync(HttpStatusCode.Accepted);

        retried.Id().ShouldBe(deployment.Id());
        ((string)retried["status"]!).ShouldBe("queued");
        retried["steps"]!.AsArray().Count.ShouldBe(1);
        retried.ContainsKey("error").ShouldBeFalse();
        retried.ContainsKey("finishedAt").ShouldBeFalse();
        (await backend.Deployer.MessageAsync(shop.Id(), "deployment.retry-requested"))["data"]!["deploymentId"]!.GetValue<Guid>().ShouldBe(deployment.Id());
        await backend.ProgressAsync(deployment, "running", "fetch", "render");
        await backend.FinishAsync(deployment, "live", Guid.CreateVersion7());
        ((string)(await GetAsync(deployment.Id()))["status"]!).ShouldBe("live");
    }

    [Fact]
    public async Task A_rollback_goes_to_the_release_that_was_live_before_and_ahead_of_the_queue()
    {
        var shop = await backend.CreateShopAsync();
        var path = $"/api/shops/{shop.Id()}/rollback";
        ((string)(await (await backend.Client.PostAsync(path, null)).ReadProblemAsync(HttpStatusCode.Conflict))["detail"]!).ShouldContain("no earlier release");

        var (one, two, three) = (Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7());
        await backend.FinishAsync(await backend.DeployAsync(shop), "live", one);
        await (await backend.Client.PostAsync(path, null)).ReadProblemAsync(HttpStatusCode.Conflict);
        await backend.FinishAsync(await backend.DeployAsync(shop), "live", two);
        await backend.FinishAsync(await backend.DeployAsync(shop), "failed", error: new { code = "x", message = "y" });
        await backend.FinishAsync(await backend.DeployAsync(shop), "live", three);

        using var response = await backend.Client.PostAsync(path, null);
        var rollback = await response.ReadAsync(HttpStatusCode.Accepted);
        response.Headers.Location!.ToString().ShouldBe($"/api/deployments/{rollback.Id()}");
        ((string)rollback["kind"]!).ShouldBe("rollback");
        rollback["rollbackTo"]!.GetValue<Guid>().ShouldBe(two);
        var message = await Eventually.Async(() => Task.FromResult(backend.Deployer.MessagesOf(shop.Id()).Single(sent => (string)sent["subject"]! == rollback.Id().ToString())));
        ((string)message["type"]!).ShouldBe("deployment.requested");
        ((string)message["data"]!["kind"]!).ShouldBe("rollback");
        message["data"]!["priority"]!.GetValue<int>().ShouldBe(0);
        message["data"]!["rollbackTo"]!.GetValue<Guid>().ShouldBe(two);
        await backend.FinishAsync(rollback, "live", two);

        // what was live before is now the newest one again
        (await (await backend.Client.PostAsync(path, null)).ReadAsync(HttpStatusCode.Accepted))["rollbackTo"]!.GetValue<Guid>().ShouldBe(three);
        (await (await backend.Client.PostAsJsonAsync(path, new { release = one })).ReadAsync(HttpStatusCode.Accepted))["rollbackTo"]!.GetValue<Guid>().ShouldBe(one);
        await (await backend.Client.PostAsJsonAsync(path, new { release = two })).ReadProblemAsync(HttpStatusCode.Conflict);
        (await (await backend.Client.PostAsJsonAsync(path, new { release = Guid.NewGuid() })).ReadBadFieldsAsync()).ShouldBe(["release"]);
        (await (await backend.Client.PostAsJsonAsync(path, new { release = "one" })).ReadBadFieldsAsync()).ShouldBe(["release"]);
    }

    [Fact]
    public async Task An_empty_body_is_as_good_as_none()
    {
        var shop = await backend.CreateShopAsync();
        foreach (var body in new[] { "", "{}" })
        {
            using var response = await backend.Client.PostAsync($"/api/shops/{shop.Id()}/deployments", new StringContent(body, Encoding.UTF8, "application/json"));
            await response.ReadAsync(HttpStatusCode.Accepted);
        }
    }

    private async Task<JsonObject> GetAsync(Guid id, string alias = "") =>
        await (await backend.Client.GetAsync($"/api/deployments/{id}{alias}")).ReadAsync(HttpStatusCode.OK);

    private Task<HttpResponseMessage> PostAsync(string path, string key)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, path);
        request.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        return backend.Client.SendAsync(request);
    }
}
