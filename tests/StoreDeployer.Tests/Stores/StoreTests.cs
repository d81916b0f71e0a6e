using System.Net;
using System.Net.Http.Headers;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Stores;

/// <summary>A StoreDeployer that retains two releases.</summary>
public sealed class DeployerWithTwoReleases(PostgresServer server) : SharedDeployer(server, ("Stores:PublicUrl", "http://localhost"), ("Stores:RetainedReleases", "2"));

/// <summary>The responses of live stores.</summary>
public sealed class StoreTests(DeployerWithTwoReleases shared) : IClassFixture<DeployerWithTwoReleases>, IAsyncLifetime
{
    private readonly Guid _shop = Guid.CreateVersion7();
    private readonly string _slug = $"mugs-{Guid.NewGuid():n}";
    private readonly Neighbours _neighbours = shared.Neighbours;
    private readonly DeployerHost _deployer = shared.Deployer;

    public async ValueTask InitializeAsync() => await DeployAsync("Mug shop");

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async Task DeployAsync(string name, Dictionary<string, string>? entries = null)
    {
        var finished = await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, _neighbours.Publish(entries), name));
        finished.GetProperty("status").GetString().ShouldBe("live", finished.ToString());
    }

    private async Task<HttpResponseMessage> SendAsync(string path, HttpMethod? method = null, string? ifNoneMatch = null)
    {
        using var request = new HttpRequestMessage(method ?? HttpMethod.Get, new Uri(path, UriKind.Relative));
        if (ifNoneMatch is not null)
            request.Headers.TryAddWithoutValidation("If-None-Match", ifNoneMatch);
        return await _deployer.Http.SendAsync(request);
    }

    private async Task<string> StylesheetAsync() =>
        Regex.Match(await _deployer.PageAsync(_slug), "_assets/[0-9a-f]{64}/store.css", RegexOptions.None, Regex.InfiniteMatchTimeout).Value;

    [Fact]
    public async Task Pages_are_revalidated_by_their_digest()
    {
        using var page = await SendAsync($"/stores/{_slug}/");
        page.StatusCode.ShouldBe(HttpStatusCode.OK);
        page.Content.Headers.ContentType!.ToString().ShouldBe("text/html; charset=utf-8");
        page.Headers.CacheControl!.NoCache.ShouldBeTrue();
        var content = await page.Content.ReadAsByteArrayAsync();
        page.Headers.ETag.ShouldBe(new EntityTagHeaderValue($"\"{FileDigest.Of(content)}\""));

        foreach (var known in new[] { page.Headers.ETag!.ToString(), $"\"other\", W/{page.Headers.ETag}", "*" })
        {
            using var unchanged = await SendAsync($"/stores/{_slug}/", ifNoneMatch: known);
            unchanged.StatusCode.ShouldBe(HttpStatusCode.NotModified, known);
            (await unchanged.Content.ReadAsByteArrayAsync()).ShouldBeEmpty();
            unchanged.Headers.ETag.ShouldBe(page.Headers.ETag);
        }

        using var changed = await SendAsync($"/stores/{_slug}/", ifNoneMatch: "\"other\"");
        changed.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task HEAD_returns_the_headers_of_GET_without_content()
    {
        using var get = await SendAsync($"/stores/{_slug}/");
        using var head = await SendAsync($"/stores/{_slug}/", HttpMethod.Head);

        head.StatusCode.ShouldBe(HttpStatusCode.OK);
        head.Headers.ETag.ShouldBe(get.Headers.ETag);
        head.Content.Headers.ContentLength.ShouldBe(get.Content.Headers.ContentLength);
        head.Content.Headers.ContentType.ShouldBe(get.Content.Headers.ContentType);
        (await head.Content.ReadAsByteArrayAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task Assets_are_cacheable_and_immutable()
    {
        using var css = await SendAsync($"/stores/{_slug}/{await StylesheetAsync()}");
        css.StatusCode.ShouldBe(HttpStatusCode.OK);
        css.Content.Headers.ContentType!.ToString().ShouldBe("text/css; charset=utf-8");
        css.Headers.CacheControl!.ToString().ShouldBe("public, max-age=31536000, immutable");
    }

    [Fact]
    public async Task Taking_a_store_down_reaches_all_processes_even_if_its_transaction_began_before_the_last_activation()
    {
        await DeployAsync("Second shop");
        await using var other = new DeployerHost(shared.Database.ConnectionString, _neighbours, ("Stores:PollInterval", "00:00:00.1"));
        await other.ReadyAsync();
        await Eventually.Async(async () => (await other.PageAsync(_slug)).ShouldContain("Second shop"));
        // A queued deployment whose row is locked, so that the deletion waits again after it has taken the store down.
        await using var queued = await BeginAsync(
            """
            insert into deployments (id, shop_id, sequence, kind, priority, slug, spec, available_at, created_at)
            select gen_random_uuid(), $1, -1, 'deployment', 2, 'x', '{}', now() + interval '1 hour', now()
            """);
        await queued.CommitAsync();
        await using var activation = await BeginAsync("select from stores where shop_id = $1 for update");
        await using var waiting = await BeginAsync("select from deployments where shop_id = $1 and status = 'queued' for update");

        var deleting = _deployer.DeleteShopAsync(_shop, _slug);
        await BlockedAsync("stores");
        await ExecuteAsync(activation,
            """
            update stores set changed_at = clock_timestamp(),
              active_release = (select id from releases r where r.shop_id = $1 and r.id <> stores.active_release order by created_at limit 1)
            where shop_id = $1
            """);
        await activation.CommitAsync();
        await BlockedAsync("deployments");
        await Eventually.Async(async () => (await other.PageAsync(_slug)).ShouldContain("Mug shop"));
        await waiting.CommitAsync();
        await deleting;

        await Eventually.Async(async () =>
        {
            using var closed = await other.Http.GetAsync(new Uri($"/stores/{_slug}/", UriKind.Relative));
            closed.StatusCode.ShouldBe(HttpStatusCode.Gone);
        });

        async Task<NpgsqlTransaction> BeginAsync(string sql)
        {
            var connection = new NpgsqlConnection(shared.Database.ConnectionString + ";Pooling=false");
            await connection.OpenAsync();
            var transaction = await connection.BeginTransactionAsync();
            await ExecuteAsync(transaction, sql);
            return transaction;
        }

        async Task ExecuteAsync(NpgsqlTransaction transaction, string sql)
        {
            await using var command = new NpgsqlCommand(sql, transaction.Connection, transaction) { Parameters = { new() { Value = _shop } } };
            await command.ExecuteNonQueryAsync();
        }

        Task BlockedAsync(string table) => Eventually.Async(async () =>
        {
            await using var blocked = shared.Database.DataSource.CreateCommand(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database() and query like '%' || $1 || '%'");
            blocked.Parameters.AddWithValue(table == "stores" ? "insert into stores" : "update deployments");
            (await blocked.ExecuteScalarAsync()).ShouldBe(1L);
        });
    }

    [Fact]
    public async Task Assets_of_earlier_releases_are_served_while_these_are_retained()
    {
        var old = await StylesheetAsync();

        await DeployAsync("second", Bundles.Entries(css: "a { color: navy }"));
        (await StylesheetAsync()).ShouldNotBe(old);
        (await SendAsync($"/stores/{_slug}/{old}")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Releases_beyond_the_retained_ones_are_deleted_with_files_that_only_they_use()
    {
        // A unique style sheet, because other tests' shops share the plain one.
        await DeployAsync("first", Bundles.Entries(css: $"/* only of {_slug} */"));
        var old = await StylesheetAsync();
        await DeployAsync("second", Bundles.Entries(css: "a { color: lime }"));
        await DeployAsync("third", Bundles.Entries(css: "a { color: gold }"));

        await _deployer.Services.GetRequiredService<CollectReleases>().ExecuteOnceAsync(CancellationToken.None);

        await using var command = shared.Database.DataSource.CreateCommand(
            """
            select (select count(*) from releases where shop_id = $1), (select count(*) from files where digest = $2),
              (select count(*) from files f where not exists (select from release_files r where r.digest = f.digest))
            """);
        command.Parameters.AddWithValue(_shop);
        command.Parameters.AddWithValue(Convert.FromHexString(old.Split('/')[1]));
        await using var counts = await command.ExecuteReaderAsync();
        (await counts.ReadAsync()).ShouldBeTrue();
        (counts.GetInt64(0), counts.GetInt64(1), counts.GetInt64(2)).ShouldBe((2L, 0L, 0L));
        (await _deployer.PageAsync(_slug)).ShouldContain("third");
    }

    [Fact]
    public async Task Releases_are_retained_by_the_time_they_were_last_live()
    {
        var first = await StylesheetAsync();
        await DeployAsync("second", Bundles.Entries(css: "a { color: teal }"));
        await DeployAsync("third", Bundles.Entries(css: "a { color: pink }"));
        await RollBackAsync();
        await RollBackAsync();
        (await StylesheetAsync()).ShouldBe(first);

        await DeployAsync("fourth", Bundles.Entries(css: "a { color: plum }"));
        await _deployer.Services.GetRequiredService<CollectReleases>().ExecuteOnceAsync(CancellationToken.None);

        using var asset = await SendAsync($"/stores/{_slug}/{first}");
        asset.StatusCode.ShouldBe(HttpStatusCode.OK);
        await RollBackAsync();
        (await StylesheetAsync()).ShouldBe(first);

        async Task RollBackAsync() =>
            (await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, null, kind: "rollback", priority: 0))).GetProperty("status").GetString().ShouldBe("live");
    }

    [Fact]
    public async Task A_folder_without_a_trailing_slash_is_redirected()
    {
        foreach (var path in new[] { $"/stores/{_slug}", $"/stores/{_slug}/products/a-1" })
        {
            using var redirect = await SendAsync(path + "?from=mail");
            redirect.StatusCode.ShouldBe(HttpStatusCode.MovedPermanently);
            redirect.Headers.Location!.ToString().ShouldBe(path + "/?from=mail");
        }

        using var page = await SendAsync($"/stores/{_slug}/");
        page.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("nothing/here")]
    [InlineData("products/")]
    [InlineData("_assets/")]
    [InlineData("..%2f..%2fetc/passwd")]
    [InlineData("%2e%2e/%2e%2e/appsettings.json")]
    public async Task Unknown_paths_get_the_stores_404_page(string path)
    {
        using var missing = await SendAsync($"/stores/{_slug}/{path}", ifNoneMatch: "*");
        missing.StatusCode.ShouldBe(HttpStatusCode.NotFound);
        if (!path.Contains("%2e", StringComparison.Ordinal))
            (await missing.Content.ReadAsStringAsync()).ShouldContain("<h1>Not here</h1>");
    }

    [Theory]
    [InlineData("/stores/nobody/")]
    [InlineData("/stores/No..body/")]
    [InlineData("/stores/%f0%9f%98%80/")]
    public async Task An_unknown_slug_gets_a_404_page(string path)
    {
        using var missing = await SendAsync(path);
        missing.StatusCode.ShouldBe(HttpStatusCode.NotFound);
        missing.Content.Headers.ContentType!.MediaType.ShouldBe("text/html");
        (await missing.Content.ReadAsStringAsync()).ShouldContain("There is no store here");
    }

    [Fact]
    public async Task All_responses_have_security_headers()
    {
        foreach (var path in new[] { $"/stores/{_slug}/", $"/stores/{_slug}/none", $"/stores/{_slug}/{await StylesheetAsync()}", $"/stores/{_slug}", "/stores/nobody/" })
        {
            using var response = await SendAsync(path);
            var policy = response.Headers.GetValues("Content-Security-Policy").Single();
            policy.ShouldContain("default-src 'none'");
            policy.ShouldContain("script-src 'self';");
            policy.ShouldContain("frame-ancestors 'none'");
            response.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
            response.Headers.GetValues("Referrer-Policy").ShouldBe(["strict-origin-when-cross-origin"]);
        }
    }

    [Fact]
    public async Task Stores_refuse_other_methods_than_GET_and_HEAD()
    {
        using var response = await SendAsync($"/stores/{_slug}/", HttpMethod.Post);
        response.StatusCode.ShouldBe(HttpStatusCode.MethodNotAllowed);
        response.Content.Headers.Allow.ShouldBe(["GET", "HEAD", "OPTIONS"], ignoreOrder: true);
    }

    [Fact]
    public async Task Readers_never_see_a_mixture_of_releases()
    {
        using var done = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
        {
            var read = 0;
            while (!done.IsCancellationRequested)
            {
                var page = await _deployer.PageAsync(_slug);
                var css = Regex.Match(page, "_assets/[0-9a-f]{64}/store.css", RegexOptions.None, Regex.InfiniteMatchTimeout).Value;
                var name = Regex.Match(page, "<title>(?<name>.*)</title>", RegexOptions.None, Regex.InfiniteMatchTimeout).Groups["name"].Value;
                using var stylesheet = await SendAsync($"/stores/{_slug}/{css}");
                stylesheet.StatusCode.ShouldBe(HttpStatusCode.OK);
                if (name.StartsWith("release-", StringComparison.Ordinal))
                    (await stylesheet.Content.ReadAsStringAsync()).ShouldContain(name);
                read++;
            }

            return read;
        })).ToList();

        for (var n = 0; n < 8; n++)
            await DeployAsync($"release-{n}", Bundles.Entries(css: $"/* release-{n} */"));
        await done.CancelAsync();

        (await Task.WhenAll(readers)).Sum().ShouldBeGreaterThan(0);
    }
}
