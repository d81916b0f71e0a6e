using System.Net;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Platform.StoreDeployer.Stores;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Stores;

/// <summary>While the database is stopped, live stores stay up and everything else answers 503, and recovers by itself.</summary>
public sealed class DatabaseUnavailableTests
{
    [Fact]
    public async Task Live_stores_answer_while_the_database_is_stopped_even_after_a_restart_of_the_service()
    {
        await using var server = await PostgresServer.StartNewAsync(TestContext.Current.CancellationToken);
        var database = new TestDatabase(server);
        await database.InitializeAsync();
        await using var neighbours = await Neighbours.StartAsync();
        var cache = Path.Combine(Path.GetTempPath(), "store-deployer-tests", Guid.NewGuid().ToString("n"));
        var slugs = Enumerable.Range(0, 3).Select(n => $"shop-{n}").ToList();
        var shops = slugs.ToDictionary(slug => slug, _ => Guid.CreateVersion7());

        var deployer = new DeployerHost(database.ConnectionString, neighbours, ("Stores:CacheDirectory", cache));
        try
        {
            await deployer.ReadyAsync();
            foreach (var slug in slugs)
            {
                var finished = await neighbours.FinishedAsync(await deployer.RequestAsync(shops[slug], slug, neighbours.Publish(), $"Shop {slug}"));
                finished.GetProperty("status").GetString().ShouldBe("live");
            }

            await server.StopAsync(TestContext.Current.CancellationToken);

            await AssertAllServedAsync(deployer, slugs);
            using (var unknown = await deployer.Http.GetAsync(new Uri("/stores/never-was/", UriKind.Relative)))
                await unknown.ShouldSayThatTheDatabaseIsUnavailableAsync();
            (await deployer.Http.GetAsync(new Uri("/alive", UriKind.Relative))).StatusCode.ShouldBe(HttpStatusCode.OK);
        }
        finally
        {
            // Its cache is kept for the next process.
            await deployer.StopAsync();
        }

        await using var restarted = new DeployerHost(database.ConnectionString, neighbours, ("Stores:CacheDirectory", cache));
        await AssertAllServedAsync(restarted, slugs);

        await server.StartAsync(TestContext.Current.CancellationToken);
        await restarted.ReadyAsync();
        await Eventually.Async(async () =>
        {
            var deployment = await restarted.RequestAsync(shops[slugs[0]], slugs[0], neighbours.Publish(Bundles.Entries(css: "a { color: plum }")), "Back again");
            (await neighbours.FinishedAsync(deployment)).GetProperty("status").GetString().ShouldBe("live");
        });
        (await restarted.PageAsync(slugs[0])).ShouldContain("Back again");
        await database.DisposeAsync();
    }

    [Fact]
    public async Task The_old_release_is_served_if_the_files_of_the_new_one_can_not_be_read()
    {
        await using var server = await PostgresServer.StartNewAsync(TestContext.Current.CancellationToken);
        var database = new TestDatabase(server);
        await database.InitializeAsync();
        await using var neighbours = await Neighbours.StartAsync();
        await using var one = new DeployerHost(database.ConnectionString, neighbours);
        await one.ReadyAsync();
        var shop = Guid.CreateVersion7();
        foreach (var name in (string[])["Former shop", "Present shop"])
            await neighbours.FinishedAsync(await one.RequestAsync(shop, "mugs", neighbours.Publish(), name));
        await using var other = new DeployerHost(database.ConnectionString, neighbours, ("Deployments:Workers", "0"));
        await other.ReadyAsync();
        (await other.PageAsync("mugs")).ShouldContain("Present shop");

        // The active release can be read, but its files can't.
        await ExecuteAsync("alter table files rename column content to withheld");
        await ExecuteAsync(
            """
            update stores set changed_at = clock_timestamp(),
              active_release = (select id from releases r where r.id <> stores.active_release order by created_at limit 1)
            """);
        await Should.ThrowAsync<PostgresException>(() => other.Services.GetRequiredService<StoreDirectory>().RefreshAsync("mugs", changedAt: null, TestContext.Current.CancellationToken));
        (await other.PageAsync("mugs")).ShouldContain("Present shop");
        (await other.PageAsync("mugs", "products/a-1/")).ShouldContain("<h1>Mug</h1>");

        await ExecuteAsync("alter table files rename column withheld to content");
        await Eventually.Async(async () => (await other.PageAsync("mugs")).ShouldContain("Former shop"));
        await database.DisposeAsync();

        async Task ExecuteAsync(string sql)
        {
            await using var command = database.DataSource.CreateCommand(sql);
            await command.ExecuteNonQueryAsync();
        }
    }

    private static async Task AssertAllServedAsync(DeployerHost deployer, IEnumerable<string> slugs)
    {
        foreach (var slug in slugs)
        {
            var page = await deployer.PageAsync(slug);
            page.ShouldContain($"Shop {slug}");
            (await deployer.PageAsync(slug, "products/a-1/")).ShouldContain("<h1>Mug</h1>");
            var css = Regex.Match(page, "_assets/[0-9a-f]{64}/store.css", RegexOptions.None, Regex.InfiniteMatchTimeout).Value;
            (await deployer.PageAsync(slug, css)).ShouldContain("header");
        }
    }
}
