using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Owners;

public sealed class ApiKeyTests(BackendHost backend) : IClassFixture<BackendHost>
{
    [Fact]
    public async Task A_key_is_shown_once_and_kept_as_a_digest_only()
    {
        var made = await backend.MakeKeyAsync("deploy", name: "shown once");
        var key = (string)made["key"]!;
        key.ShouldStartWith("plat_");
        key.Length.ShouldBe("plat_".Length + 48);

        var listed = (await (await backend.Client.GetAsync("/api/keys")).ReadAsync(HttpStatusCode.OK))["items"]!.AsArray()
            .Single(item => item!["id"]!.GetValue<Guid>() == made.Id())!.AsObject();
        listed.Select(field => field.Key).ShouldBe(["id", "name", "owner", "scopes", "createdAt"], ignoreOrder: true);
        ((string)listed["name"]!).ShouldBe("shown once");
        listed["scopes"]!.AsArray().Select(scope => (string)scope!).ShouldBe(["deploy"]);

        foreach (var table in (string[])["api_keys", "owners", "idempotency_keys", "outbox"])
            (await TextOfAsync(table)).ShouldNotContain(key);
        (await TextOfAsync("api_keys")).ShouldContain(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(key))));
    }

    [Fact]
    public async Task A_call_that_is_repeated_with_its_Idempotency_Key_makes_one_key_and_does_not_show_it_again()
    {
        var idempotencyKey = Guid.NewGuid().ToString();
        var first = await MakeAsync();
        ((string?)first["key"]).ShouldNotBeNull();
        var second = await MakeAsync();

        second.Id().ShouldBe(first.Id());
        second.ContainsKey("key").ShouldBeFalse();
        (await TextOfAsync("idempotency_keys")).ShouldNotContain("plat_");

        async Task<JsonObject> MakeAsync()
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/api/keys") { Content = JsonContent.Create(new { name = "once", scopes = new[] { "read" } }) };
            request.Headers.Add("Idempotency-Key", idempotencyKey);
            using var response = await backend.Client.SendAsync(request);
            var answer = await response.ReadAsync(HttpStatusCode.Created);
            if (answer.ContainsKey("key"))
                response.Headers.CacheControl!.NoStore.ShouldBeTrue();
            return answer;
        }
    }

    [Fact]
    public async Task A_revoked_key_is_refused_at_once_and_its_id_is_gone()
    {
        var made = await backend.MakeKeyAsync("read");
        using var client = backend.Connect((string)made["key"]!);
        (await client.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);

        (await backend.Client.DeleteAsync($"/api/keys/{made.Id()}")).StatusCode.ShouldBe(HttpStatusCode.NoContent);

        using var response = await client.GetAsync("/api/shops");
        await response.ReadProblemAsync(HttpStatusCode.Unauthorized);
        response.Headers.WwwAuthenticate.ToString().ShouldBe("Bearer error=\"invalid_token\"");
        await (await backend.Client.GetAsync($"/api/keys/{made.Id()}")).ReadProblemAsync(HttpStatusCode.NotFound);
        await (await backend.Client.DeleteAsync($"/api/keys/{made.Id()}")).ReadProblemAsync(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_key_that_another_replica_revoked_or_that_expired_is_refused_within_a_second()
    {
        var made = await backend.MakeKeyAsync("read");
        var time = new ObservableTimeProvider(DateTimeOffset.UtcNow);
        await using var replica = await backend.StartReplicaAsync(builder => builder.ConfigureServices(services => services.AddSingleton<TimeProvider>(time)));
        replica.Client.DefaultRequestHeaders.Authorization = new("Bearer", (string)made["key"]!);
        (await replica.Client.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);

        await ExecuteAsync($"update api_keys set expires_at = created_at + interval '1 microsecond' where id = '{made.Id()}'");
        time.Advance(TimeSpan.FromSeconds(1));

        (await replica.Client.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
    }

    [Fact]
    public async Task When_a_key_was_last_used_is_known_to_the_hour()
    {
        var made = await backend.MakeKeyAsync("read");
        using var client = backend.Connect((string)made["key"]!);
        var before = await DatabaseHourAsync();

        (await client.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);

        var used = (await (await backend.Client.GetAsync($"/api/keys/{made.Id()}")).ReadAsync(HttpStatusCode.OK))["lastUsedAt"]!.GetValue<DateTimeOffset>();
        used.ShouldBeOneOf(before, await DatabaseHourAsync());
    }

    [Theory]
    [InlineData("""{"name": "", "scopes": ["read"]}""", "name")]
    [InlineData("""{"name": "a\u0007b", "scopes": ["read"]}""", "name")]
    [InlineData("""{"name": "x", "scopes": []}""", "scopes")]
    [InlineData("""{"name": "x", "scopes": ["read", "write"]}""", "scopes")]
    [InlineData("""{"name": "x"}""", "scopes")]
    [InlineData("""{"name": "x", "scopes": ["read"], "ownerId": "018f0000-0000-7000-8000-000000000000"}""", "ownerId")]
    [InlineData("""{"name": "x", "scopes": ["read"], "owner": {"name": " "}}""", "owner.name")]
    [InlineData("""{"name": "x", "scopes": ["read"], "ownerId": "00000000-0000-7000-8000-000000000001", "owner": {"name": "y"}}""", "owner")]
    [InlineData("""{"name": "x", "scopes": ["read"], "expiresAt": "2020-01-01T00:00:00Z"}""", "expiresAt")]
    [InlineData("""{"name": "x", "scopes": ["read"], "key": "mine"}""", "key")]
    public async Task A_bad_field_is_named(string body, string field)
    {
        using var response = await backend.Client.PostAsync("/api/keys", new StringContent(body, System.Text.Encoding.UTF8, "application/json"));
        (await response.ReadBadFieldsAsync()).ShouldBe([field]);
    }

    [Fact]
    public async Task Keys_and_owners_are_listed_page_by_page()
    {
        var owner = (await backend.MakeKeyAsync("read"))["owner"]!.AsObject();
        for (var n = 0; n < 4; n++)
            await backend.MakeKeyAsync("read", owner.Id());

        foreach (var list in (string[])["/api/keys", "/api/owners"])
        {
            var ids = new List<Guid>();
            string? cursor = null;
            do
            {
                var page = await (await backend.Client.GetAsync($"{list}?limit=2&cursor={cursor}")).ReadAsync(HttpStatusCode.OK);
                ids.AddRange(page["items"]!.AsArray().Select(item => item!.AsObject().Id()));
                cursor = (string?)page["nextCursor"];
            }
            while (cursor is not null);
            ids.ShouldBeUnique();
            ids.ShouldBe(ids.OrderDescending());
        }

        (await (await backend.Client.GetAsync($"/api/owners/{owner.Id()}")).ReadAsync(HttpStatusCode.OK))["keys"]!.GetValue<int>().ShouldBe(5);
    }

    [Fact]
    public async Task Two_keys_of_one_owner_share_its_shops_and_its_idempotency_keys_and_another_owners_mean_something_else()
    {
        var first = await backend.MakeKeyAsync("deploy");
        var second = await backend.MakeKeyAsync("deploy", first["owner"]!.AsObject().Id());
        var stranger = await backend.MakeKeyAsync("deploy");
        var (key, body) = (Guid.NewGuid().ToString(), BackendHost.NewShop().ToJsonString());

        var shop = await (await CreateAsync(first)).ReadAsync(HttpStatusCode.Created);
        using (var again = await CreateAsync(second))
        {
            again.Headers.Contains("Idempotency-Replayed").ShouldBeTrue();
            (await again.ReadAsync(HttpStatusCode.Created)).Id().ShouldBe(shop.Id());
        }

        // the same key of another owner is another key: the shop's slug is taken, for it too
        await (await CreateAsync(stranger)).ReadProblemAsync(HttpStatusCode.Conflict);
        shop["ownerId"]!.GetValue<Guid>().ShouldBe(first["owner"]!.AsObject().Id());

        async Task<HttpResponseMessage> CreateAsync(JsonObject apiKey)
        {
            using var client = backend.Connect((string)apiKey["key"]!);
            using var request = new HttpRequestMessage(HttpMethod.Post, "/api/shops") { Content = new StringContent(body, System.Text.Encoding.UTF8, "application/json") };
            request.Headers.Add("Idempotency-Key", key);
            return await client.SendAsync(request);
        }
    }

    [Fact]
    public async Task An_idempotency_key_that_an_earlier_version_claimed_is_the_administrators()
    {
        var key = Guid.NewGuid().ToString();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/shops") { Content = JsonContent.Create(BackendHost.NewShop()) };
        request.Headers.Add("Idempotency-Key", key);
        // as a version without owners does that runs beside this one, here for another request
        await ExecuteAsync($"insert into idempotency_keys (caller, key, fingerprint, claim, claimed_until, expires_at) values ('anonymous', '{key}', '', '{Guid.NewGuid()}', now() + interval '1 hour', now() + interval '1 hour')");

        using var response = await backend.Client.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.UnprocessableEntity);
    }

    [Fact]
    public async Task A_shop_that_an_earlier_version_made_is_the_administrators()
    {
        var id = Guid.CreateVersion7();
        await ExecuteAsync(
            $"""
            insert into shops (id, slug, name, template_name, template_version, template_digest, settings, products, created_at, updated_at)
            values ('{id}', 'old-{id:n}', 'Old', 'aurora', '1.0.0', 'sha256:0', '{"{}"}', '[]', now(), now());
            insert into deployments (id, shop_id, kind, template_name, template_version, template_digest, created_at) values ('{id}', '{id}', 'deployment', 'aurora', '1.0.0', 'sha256:0', now())
            """);
        using var other = backend.Connect((string)(await backend.MakeKeyAsync("deploy"))["key"]!);

        foreach (var path in (string[])[$"/api/shops/{id}", $"/api/deployments/{id}"])
        {
            (await backend.Client.GetAsync(path)).StatusCode.ShouldBe(HttpStatusCode.OK);
            (await other.GetAsync(path)).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        }
    }

    [Fact]
    public async Task How_a_deployment_ended_is_its_owners_to_know_also_when_the_shop_is_gone()
    {
        using var owner = backend.Connect((string)(await backend.MakeKeyAsync("deploy"))["key"]!);
        var shop = await (await owner.PostAsJsonAsync("/api/shops", BackendHost.NewShop())).ReadAsync(HttpStatusCode.Created);
        var deployment = await (await owner.PostAsync($"/api/shops/{shop.Id()}/deployments", null)).ReadAsync(HttpStatusCode.Accepted);
        (await owner.DeleteAsync($"/api/shops/{shop.Id()}")).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        await backend.TellAsync("store.removed", shop.Id(), new { shopId = shop.Id() });

        (await owner.GetAsync($"/api/shops/{shop.Id()}")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        ((string)(await (await owner.GetAsync($"/api/deployments/{deployment.Id()}")).ReadAsync(HttpStatusCode.OK))["status"]!).ShouldBe("cancelled");
    }

    // Stored times come from the database's clock.
    private async Task<DateTimeOffset> DatabaseHourAsync()
    {
        await using var command = backend.Database.DataSource.CreateCommand("select date_trunc('hour', now())");
        return new((DateTime)(await command.ExecuteScalarAsync())!, TimeSpan.Zero);
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = backend.Database.DataSource.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    private async Task<string> TextOfAsync(string table)
    {
        var body = table == "idempotency_keys" ? " || coalesce(encode(body, 'escape'), '')" : "";
        await using var command = backend.Database.DataSource.CreateCommand($"select coalesce(string_agg(t::text{body}, ' '), '') from {table} t");
        return (string)(await command.ExecuteScalarAsync())!;
    }
}
