using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using Npgsql;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Shops;

public sealed class ShopEndpointTests(BackendHost backend) : IClassFixture<BackendHost>
{
    [Fact]
    public async Task A_new_shop_is_answered_with_its_location_its_tag_and_the_latest_version_of_its_template()
    {
        var slug = $"mug-{Guid.NewGuid():n}"[..20];
        using var response = await backend.Client.PostAsJsonAsync("/api/shops", BackendHost.NewShop(slug, "  Çiçek <b>& 花</b> 🌸 "));

        var shop = await response.ReadAsync(HttpStatusCode.Created);
        response.Headers.Location!.ToString().ShouldBe($"/api/shops/{shop.Id()}");
        response.Headers.ETag!.ToString().ShouldBe("\"1.0\"");
        shop.Id().Version.ShouldBe(7);
        ((string)shop["slug"]!).ShouldBe(slug);
        ((string)shop["name"]!).ShouldBe("Çiçek <b>& 花</b> 🌸");
        ((string)shop["status"]!).ShouldBe("draft");
        ((string)shop["template"]!["version"]!).ShouldBe("1.1.0");
        ((string)shop["settings"]!["accent"]!).ShouldBe("#0f766e");
        shop["products"]![0]!["price"]!.GetValue<decimal>().ShouldBe(12.5m);
        shop.ContainsKey("url").ShouldBeFalse();

        using var read = await backend.Client.GetAsync(response.Headers.Location);
        JsonNode.DeepEquals(await read.ReadAsync(HttpStatusCode.OK), shop).ShouldBeTrue();
        read.Headers.ETag.ShouldBe(response.Headers.ETag);
    }

    [Fact]
    public async Task A_shop_can_choose_an_older_version()
    {
        var shop = BackendHost.NewShop();
        shop["template"]!["version"] = "1.0.0";

        var created = await (await backend.Client.PostAsJsonAsync("/api/shops", shop)).ReadAsync(HttpStatusCode.Created);

        ((string)created["template"]!["version"]!).ShouldBe("1.0.0");
    }

    [Fact]
    public async Task Every_bad_field_of_a_shop_is_named_at_once()
    {
        var shop = BackendHost.NewShop("🛍");
        shop["name"] = " ";
        shop["settings"] = new JsonObject { ["accent"] = "red", ["nope"] = 1 };
        shop["products"]!.AsArray().Add(new JsonObject { ["sku"] = "mug-1", ["name"] = "x", ["price"] = -1, ["currency"] = "XXX" });

        using var response = await backend.Client.PostAsJsonAsync("/api/shops", shop);

        (await response.ReadBadFieldsAsync()).ShouldBe(
            ["slug", "name", "settings.accent", "settings.nope", "products[1].sku", "products[1].price", "products[1].currency"], ignoreOrder: true);
    }

    [Theory]
    [InlineData("""{"name":"nope"}""", "template.name")]
    [InlineData("""{"name":"../admin"}""", "template.name")]
    [InlineData("""{"name":"aurora","version":"9.9.9"}""", "template.version")]
    [InlineData("""{"name":"aurora","version":"latest"}""", "template.version")]
    [InlineData("""{"name":"nope","version":"1.0.0"}""", "template.name")]
    public async Task A_template_that_does_not_exist_is_a_bad_field(string template, string field)
    {
        var shop = BackendHost.NewShop();
        shop["template"] = JsonNode.Parse(template);

        (await (await backend.Client.PostAsJsonAsync("/api/shops", shop)).ReadBadFieldsAsync()).ShouldBe([field]);
    }

    [Fact]
    public async Task A_withdrawn_version_is_refused_to_a_new_shop_but_not_to_the_shop_that_has_it()
    {
        backend.Registry.Templates["dusk"] = [RegistryStub.Version("dusk", "1.0.0")];
        var shop = BackendHost.NewShop();
        shop["template"] = new JsonObject { ["name"] = "dusk", ["version"] = "1.0.0" };
        using var created = await backend.Client.PostAsJsonAsync("/api/shops", shop);
        var id = (await created.ReadAsync(HttpStatusCode.Created)).Id();

        backend.Registry.Templates["dusk"][0]["status"] = "yanked";

        var other = BackendHost.NewShop();
        other["template"] = shop["template"]!.DeepClone();
        (await (await backend.Client.PostAsJsonAsync("/api/shops", other)).ReadBadFieldsAsync()).ShouldBe(["template.version"]);
        other["template"]!.AsObject().Remove("version");
        (await (await backend.Client.PostAsJsonAsync("/api/shops", other)).ReadBadFieldsAsync()).ShouldBe(["template.name"]);

        shop["name"] = "Still editable";
        await (await PutAsync(id, shop, created.Headers.ETag!.ToString())).ReadAsync(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("""{"slug":"x-unknown","name":"X","template":{"name":"aurora"},"settings":{},"products":[],"owner":"me"}""", "owner")]
    [InlineData("""{"slug":"x-unknown","name":"X","template":{"name":"aurora","channel":"beta"}}""", "template.channel")]
    [InlineData("""{"slug":"x-unknown","name":"X\u0000","template":{"name":"aurora"}}""", "name")]
    [InlineData("""{"slug":"x-unknown","name":"X","template":{"name":"aurora"},"settings":{"tagline":"a\u0000b"}}""", "settings.tagline")]
    [InlineData("""{"slug":"x-unknown","name":7,"template":{"name":"aurora"}}""", "name")]
    [InlineData("""{"slug":"x-unknown","name":"X","template":{"name":"aurora"},"products":[{"sku":"A","name":"A","price":"12","currency":"EUR"}]}""", "products[0].price")]
    [InlineData("""{"slug":"x-unknown","name":"X","template":{"name":"aurora"},"products":[null]}""", "products[0]")]
    [InlineData("""{"slug":"x-unknown","name":"X","template":{"name":"aurora"},"settings":null}""", "settings")]
    [InlineData("""{"slug":"x-unknown","template":{"name":"aurora"}}""", "name")]
    public async Task A_body_that_does_not_fit_is_refused_by_field_and_nothing_is_stored(string body, string field)
    {
        using var response = await backend.Client.PostAsync("/api/shops", new StringContent(body, Encoding.UTF8, "application/json"));

        (await response.ReadBadFieldsAsync()).ShouldBe([field]);
        (await CountAsync("x-unknown")).ShouldBe(0);
    }

    [Fact]
    public async Task Text_that_no_database_can_hold_is_refused_and_not_an_error_of_ours()
    {
        const string Body = """{"slug":"x-surrogate","name":"X","template":{"name":"aurora"},"settings":{"tagline":"\ud800"}}""";
        using var response = await backend.Client.PostAsync("/api/shops", new StringContent(Body, Encoding.UTF8, "application/json"));

        (await response.ReadProblemAsync(HttpStatusCode.BadRequest)).ShouldNotBeNull();
        (await CountAsync("x-surrogate")).ShouldBe(0);
    }

    [Fact]
    public async Task A_body_of_ten_megabytes_is_413()
    {
        var shop = BackendHost.NewShop("x-large");
        shop["name"] = new string('x', 10 * 1024 * 1024);

        await (await backend.Client.PostAsJsonAsync("/api/shops", shop)).ReadProblemAsync(HttpStatusCode.RequestEntityTooLarge);
        (await CountAsync("x-large")).ShouldBe(0);
    }

    [Theory]
    [InlineData("{\"slug\":", "application/json", HttpStatusCode.BadRequest)]
    [InlineData("<shop/>", "application/xml", HttpStatusCode.UnsupportedMediaType)]
    public async Task A_body_that_is_not_json_is_a_problem(string body, string contentType, HttpStatusCode expected) =>
        await (await backend.Client.PostAsync("/api/shops", new StringContent(body, Encoding.UTF8, contentType))).ReadProblemAsync(expected);

    [Fact]
    public async Task A_taken_slug_is_409_and_two_who_want_one_at_once_get_one_shop()
    {
        var slug = $"race-{Guid.NewGuid():n}"[..20];

        var responses = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => backend.Client.PostAsJsonAsync("/api/shops", BackendHost.NewShop(slug))));

        responses.Count(response => response.StatusCode == HttpStatusCode.Created).ShouldBe(1);
        foreach (var response in responses.Where(response => response.StatusCode != HttpStatusCode.Created))
            ((string)(await response.ReadProblemAsync(HttpStatusCode.Conflict))["detail"]!).ShouldContain(slug);
        (await CountAsync(slug)).ShouldBe(1);
    }

    [Fact]
    public async Task A_shop_or_deployment_that_does_not_exist_is_a_404_problem_everywhere()
    {
        foreach (var id in new[] { Guid.NewGuid().ToString(), "not-an-id" })
        {
            (HttpMethod Method, string Path)[] calls =
            [
                (HttpMethod.Get, $"/api/shops/{id}"),
                (HttpMethod.Put, $"/api/shops/{id}"),
                (HttpMethod.Delete, $"/api/shops/{id}"),
                (HttpMethod.Get, $"/api/shops/{id}/deployments"),
                (HttpMethod.Post, $"/api/shops/{id}/deployments"),
                (HttpMethod.Post, $"/api/shops/{id}/rollback"),
                (HttpMethod.Get, $"/api/deployments/{id}"),
                (HttpMethod.Get, $"/api/deployments/{id}/status"),
                (HttpMethod.Get, $"/api/deployments/{id}/events"),
                (HttpMethod.Post, $"/api/deployments/{id}/cancel"),
                (HttpMethod.Post, $"/api/deployments/{id}/retry"),
                (HttpMethod.Get, "/api/nothing"),
            ];
            foreach (var (method, path) in calls)
            {
                using var request = new HttpRequestMessage(method, path);
                if (method == HttpMethod.Put)
                {
                    request.Content = JsonContent.Create(BackendHost.NewShop());
                    request.Headers.TryAddWithoutValidation("If-Match", "\"1.0\"");
                }

                using var response = await backend.Client.SendAsync(request);
                await response.ReadProblemAsync(HttpStatusCode.NotFound);
            }
        }
    }

    [Fact]
    public async Task A_list_is_paged_newest_first_without_gaps_or_repeats()
    {
        var slugs = new List<string>();
        for (var i = 0; i < 5; i++)
            slugs.Add((string)(await backend.CreateShopAsync())["slug"]!);

        var listed = new List<string>();
        string? cursor = null;
        do
        {
            var page = await (await backend.Client.GetAsync($"/api/shops?limit=2{(cursor is null ? "" : $"&cursor={cursor}")}")).ReadAsync(HttpStatusCode.OK);
            page["items"]!.AsArray().Count.ShouldBeInRange(1, 2);
            listed.AddRange(page["items"]!.AsArray().Select(item => (string)item!["slug"]!));
            cursor = (string?)page["nextCursor"];
        }
        while (cursor is not null);

        listed.ShouldBeUnique();
        listed.Where(slugs.Contains).ShouldBe(Enumerable.Reverse(slugs));
    }

    [Theory]
    [InlineData("limit=0", "limit")]
    [InlineData("limit=101", "limit")]
    [InlineData("limit=x", "limit")]
    [InlineData("cursor=nonsense", "cursor")]
    public async Task A_bad_page_query_is_a_bad_field(string query, string field) =>
        (await (await backend.Client.GetAsync($"/api/shops?{query}")).ReadBadFieldsAsync()).ShouldBe([field]);

    [Fact]
    public async Task If_none_match_is_304_until_the_shop_changes_also_when_it_only_goes_live()
    {
        var shop = await backend.CreateShopAsync();
        var tag = (await backend.Client.GetAsync($"/api/shops/{shop.Id()}")).Headers.ETag!.ToString();

        using var unchanged = await GetAsync(shop.Id(), $"\"x\", W/{tag}");
        unchanged.StatusCode.ShouldBe(HttpStatusCode.NotModified);
        unchanged.Headers.ETag!.ToString().ShouldBe(tag);
        (await unchanged.Content.ReadAsByteArrayAsync()).ShouldBeEmpty();

        await backend.FinishAsync(await backend.DeployAsync(shop), "live", Guid.CreateVersion7());

        var live = await (await GetAsync(shop.Id(), tag)).ReadAsync(HttpStatusCode.OK);
        ((string)live["status"]!).ShouldBe("live");
        ((string)live["url"]!).ShouldBe("http://stores.test/stores/some-shop/");
    }

    [Fact]
    public async Task A_replacement_needs_the_tag_of_the_last_edit()
    {
        var created = await backend.CreateShopAsync();
        var shop = BackendHost.NewShop((string)created["slug"]!, "New name");

        await (await PutAsync(created.Id(), shop, null)).ReadProblemAsync((HttpStatusCode)428);
        await (await PutAsync(created.Id(), shop, "\"7.0\"")).ReadProblemAsync(HttpStatusCode.PreconditionFailed);
        await (await PutAsync(created.Id(), shop, "W/\"1.0\"")).ReadProblemAsync(HttpStatusCode.PreconditionFailed);
        (await (await PutAsync(created.Id(), shop, "1.0")).ReadBadFieldsAsync()).ShouldBe(["If-Match"]);
        ((string)(await (await GetAsync(created.Id())).ReadAsync(HttpStatusCode.OK))["name"]!).ShouldBe("Blue Mug Co.");

        using var replaced = await PutAsync(created.Id(), shop, "\"1.0\"");
        ((string)(await replaced.ReadAsync(HttpStatusCode.OK))["name"]!).ShouldBe("New name");
        replaced.Headers.ETag!.ToString().ShouldBe("\"2.0\"");
        await (await PutAsync(created.Id(), shop, "\"1.0\"")).ReadProblemAsync(HttpStatusCode.PreconditionFailed);
        await (await PutAsync(created.Id(), shop, "*")).ReadAsync(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_shop_that_went_live_while_its_merchant_typed_can_still_be_saved()
    {
        var (shop, _) = await backend.CreateLiveShopAsync();

        await (await PutAsync(shop.Id(), BackendHost.NewShop((string)shop["slug"]!, "Typed"), "\"1.0\"")).ReadAsync(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Of_two_replacements_at_once_one_is_made_and_the_other_told()
    {
        var created = await backend.CreateShopAsync();
        var slug = (string)created["slug"]!;

        var responses = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => PutAsync(created.Id(), BackendHost.NewShop(slug, $"Name {i}"), "\"1.0\"")));

        responses.Count(response => response.StatusCode == HttpStatusCode.OK).ShouldBe(1);
        responses.Count(response => response.StatusCode == HttpStatusCode.PreconditionFailed).ShouldBe(7);
        var winner = await responses.Single(response => response.StatusCode == HttpStatusCode.OK).ReadAsync(HttpStatusCode.OK);
        ((string)(await (await GetAsync(created.Id())).ReadAsync(HttpStatusCode.OK))["name"]!).ShouldBe((string)winner["name"]!);
    }

    [Fact]
    public async Task A_replacement_replaces_everything_but_the_slug()
    {
        var created = await backend.CreateShopAsync();

        var replaced = await (await PutAsync(created.Id(), new JsonObject { ["name"] = "Bare", ["template"] = new JsonObject { ["name"] = "aurora", ["version"] = "1.0.0" } }, "*"))
            .ReadAsync(HttpStatusCode.OK);

        replaced["settings"]!.AsObject().Count.ShouldBe(0);
        replaced["products"]!.AsArray().Count.ShouldBe(0);
        ((string)replaced["template"]!["version"]!).ShouldBe("1.0.0");
        ((string)replaced["slug"]!).ShouldBe((string)created["slug"]!);
        (await (await PutAsync(created.Id(), BackendHost.NewShop("another-slug"), "*")).ReadBadFieldsAsync()).ShouldBe(["slug"]);
    }

    [Fact]
    public async Task A_deleted_shop_is_deleting_until_its_store_is_down_and_then_its_slug_is_free()
    {
        var (shop, _) = await backend.CreateLiveShopAsync();
        var slug = (string)shop["slug"]!;
        var waiting = await backend.DeployAsync(shop);

        using var response = await backend.Client.DeleteAsync($"/api/shops/{shop.Id()}");

        ((string)(await response.ReadAsync(HttpStatusCode.Accepted))["status"]!).ShouldBe("deleting");
        response.Headers.Location!.ToString().ShouldBe($"/api/shops/{shop.Id()}");
        var message = await backend.Deployer.MessageAsync(shop.Id(), "shop.deleted");
        ((string)message["data"]!["slug"]!).ShouldBe(slug);
        ((string)message["data"]!["shopId"]!).ShouldBe(shop.Id().ToString());

        // meanwhile nothing can be done with it, and the slug is taken
        (await backend.Client.DeleteAsync($"/api/shops/{shop.Id()}")).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        await (await PutAsync(shop.Id(), BackendHost.NewShop(slug), "*")).ReadProblemAsync(HttpStatusCode.Conflict);
        await (await backend.Client.PostAsync($"/api/shops/{shop.Id()}/deployments", null)).ReadProblemAsync(HttpStatusCode.Conflict);
        await (await backend.Client.PostAsync($"/api/shops/{shop.Id()}/rollback", null)).ReadProblemAsync(HttpStatusCode.Conflict);
        await (await backend.Client.PostAsJsonAsync("/api/shops", BackendHost.NewShop(slug))).ReadProblemAsync(HttpStatusCode.Conflict);

        await backend.TellAsync("store.removed", shop.Id(), new { shopId = shop.Id() });

        await (await GetAsync(shop.Id())).ReadProblemAsync(HttpStatusCode.NotFound);
        await (await backend.Client.PostAsJsonAsync("/api/shops", BackendHost.NewShop(slug))).ReadAsync(HttpStatusCode.Created);
        backend.Deployer.MessagesOf(shop.Id()).Count(sent => (string)sent["type"]! == "shop.deleted").ShouldBe(1);

        // whoever waits for a deployment of it learns how it ended
        var ended = await (await backend.Client.GetAsync($"/api/deployments/{waiting.Id()}")).ReadAsync(HttpStatusCode.OK);
        ((string)ended["status"]!).ShouldBe("cancelled");
        ((string)ended["error"]!["code"]!).ShouldBe("shop-deleted");
    }

    [Fact]
    public async Task A_deletion_with_an_old_tag_is_412_and_deletes_nothing()
    {
        var shop = await backend.CreateShopAsync();
        using var request = new HttpRequestMessage(HttpMethod.Delete, $"/api/shops/{shop.Id()}") { Headers = { { "If-Match", "\"9.0\"" } } };

        await (await backend.Client.SendAsync(request)).ReadProblemAsync(HttpStatusCode.PreconditionFailed);
        ((string)(await (await GetAsync(shop.Id())).ReadAsync(HttpStatusCode.OK))["status"]!).ShouldBe("draft");
    }

    [Fact]
    public async Task A_store_that_was_taken_down_by_mistake_does_not_take_its_shop_along()
    {
        var shop = await backend.CreateShopAsync();
        var deployment = await backend.DeployAsync(shop);

        await backend.TellAsync("store.removed", shop.Id(), new { shopId = shop.Id() });

        await (await GetAsync(shop.Id())).ReadAsync(HttpStatusCode.OK);
        ((string)(await (await backend.Client.GetAsync($"/api/deployments/{deployment.Id()}")).ReadAsync(HttpStatusCode.OK))["status"]!).ShouldBe("queued");
    }

    [Fact]
    public async Task The_same_idempotency_key_makes_one_shop_and_gives_the_first_answer_again()
    {
        var shop = BackendHost.NewShop();
        var key = $"\"{Guid.NewGuid()}\"";

        using var first = await PostAsync("/api/shops", shop, key);
        using var again = await PostAsync("/api/shops", shop, key.Trim('"'));
        using var other = await PostAsync("/api/shops", BackendHost.NewShop(), key);

        first.StatusCode.ShouldBe(HttpStatusCode.Created);
        first.Headers.Contains("Idempotency-Replayed").ShouldBeFalse();
        again.StatusCode.ShouldBe(HttpStatusCode.Created);
        again.Headers.GetValues("Idempotency-Replayed").ShouldBe(["true"]);
        again.Headers.Location.ShouldBe(first.Headers.Location);
        again.Headers.ETag.ShouldBe(first.Headers.ETag);
        (await again.Content.ReadAsStringAsync()).ShouldBe(await first.Content.ReadAsStringAsync());
        await other.ReadProblemAsync(HttpStatusCode.UnprocessableEntity);
        (await CountAsync((string)shop["slug"]!)).ShouldBe(1);
    }

    private Task<HttpResponseMessage> PostAsync(string path, JsonObject body, string key)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
        request.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        return backend.Client.SendAsync(request);
    }

    private Task<HttpResponseMessage> GetAsync(Guid id, string? ifNoneMatch = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"/api/shops/{id}");
        if (ifNoneMatch is not null)
            request.Headers.TryAddWithoutValidation("If-None-Match", ifNoneMatch);
        return backend.Client.SendAsync(request);
    }

    private Task<HttpResponseMessage> PutAsync(Guid id, JsonObject shop, string? ifMatch)
    {
        var request = new HttpRequestMessage(HttpMethod.Put, $"/api/shops/{id}") { Content = JsonContent.Create(shop) };
        if (ifMatch is not null)
            request.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        return backend.Client.SendAsync(request);
    }

    private async Task<long> CountAsync(string slug)
    {
        await using var command = backend.Database.DataSource.CreateCommand("select count(*) from shops where slug = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = slug });
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
