using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Platform.StoreDeployer.Stores;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Stores;

/// <summary>What a process loads and caches of many stores. Each test has a database server and processes of its own.</summary>
public sealed class StoreScaleTests : IAsyncLifetime
{
    private readonly List<DeployerHost> _deployers = [];
    private PostgresServer _server = null!;
    private TestDatabase _database = null!;
    private Neighbours _neighbours = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await PostgresServer.StartNewAsync(TestContext.Current.CancellationToken);
        _database = new TestDatabase(_server);
        await _database.InitializeAsync();
        _neighbours = await Neighbours.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var deployer in _deployers)
            await deployer.DisposeAsync();
        await _neighbours.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task A_start_neither_loads_nor_caches_stores_and_a_request_does_both()
    {
        var first = await StartAsync();
        foreach (var slug in (string[])["mugs", "hats"])
            await DeployAsync(first, slug, $"Shop {slug}");
        await AgeAsync();

        var second = await StartAsync(("Stores:FillRate", "0"));
        (await second.PageAsync("mugs")).ShouldContain("Shop mugs");

        await IsOnDiskAsync(second, "mugs");
        IsOnDisk(second, "hats").ShouldBeFalse();
        DirectoryOf(second).Holds("mugs").ShouldBeTrue();
        DirectoryOf(second).Holds("hats").ShouldBeFalse();
    }

    [Fact]
    public async Task Stores_that_nobody_requests_are_cached_in_the_background()
    {
        var first = await StartAsync();
        foreach (var slug in (string[])["mugs", "hats"])
            await DeployAsync(first, slug, $"Shop {slug}");
        await AgeAsync();

        var second = await StartAsync();
        await IsOnDiskAsync(second, "mugs");
        await IsOnDiskAsync(second, "hats");
        DirectoryOf(second).Holds("mugs").ShouldBeFalse();
        await _server.StopAsync(TestContext.Current.CancellationToken);

        (await second.PageAsync("mugs")).ShouldContain("Shop mugs");
        (await second.PageAsync("hats", "products/a-1/")).ShouldContain("<h1>Mug</h1>");
    }

    [Fact]
    public async Task The_background_caches_the_most_recently_requested_stores_until_the_cache_is_full()
    {
        var first = await StartAsync();
        string[] slugs = ["a", "b", "c", "d"];
        foreach (var slug in slugs)
            await DeployAsync(first, slug, $"Shop {slug}", size: 400_000);
        await AgeAsync();
        // Requested in another order than that of their changes.
        await ExecuteAsync("truncate store_requests; insert into store_requests values ('b', now() - interval '1 day'), ('d', now() - interval '2 days'), ('a', now() - interval '3 days')");

        var second = await StartAsync(("Stores:CacheSize", "1048576"));
        await IsOnDiskAsync(second, "b");
        await IsOnDiskAsync(second, "d");
        // Measured by an attempt to cache the next one: the others don't fit.
        await Eventually.TrueAsync(() => second.Services.GetRequiredService<DigestCache>().HasRoomForAsync(400_000, CancellationToken.None).ContinueWith(
            fits => !fits.Result, TestContext.Current.CancellationToken, TaskContinuationOptions.None, TaskScheduler.Default));
        IsOnDisk(second, "a").ShouldBeFalse();
        IsOnDisk(second, "c").ShouldBeFalse();
    }

    [Fact]
    public async Task A_change_of_a_store_that_is_not_in_memory_replaces_its_copy_on_disk()
    {
        var first = await StartAsync();
        var shop = await DeployAsync(first, "mugs", "Former shop");
        await AgeAsync();
        var second = await StartAsync(("Stores:FillRate", "0"), ("Deployments:Workers", "0"));
        await DeployAsync(first, "mugs", "Present shop", shop);

        var changedAt = await ScalarAsync<DateTime>("select changed_at from stores");
        await Eventually.TrueAsync(() => DirectoryOf(second).IsOnDisk(new("mugs", new DateTimeOffset(changedAt))));
        DirectoryOf(second).Holds("mugs").ShouldBeFalse();
        await _server.StopAsync(TestContext.Current.CancellationToken);

        (await second.PageAsync("mugs")).ShouldContain("Present shop");
    }

    [Fact]
    public async Task A_copy_on_disk_is_confirmed_before_it_is_served_if_the_database_answers()
    {
        var first = await StartAsync();
        var shop = await DeployAsync(first, "mugs", "Former shop");
        var second = await StartAsync(("Deployments:Workers", "0"));
        (await second.PageAsync("mugs")).ShouldContain("Former shop");
        await IsOnDiskAsync(second, "mugs");
        await second.StopAsync();
        await DeployAsync(first, "mugs", "Present shop", shop);
        await AgeAsync();

        var restarted = await StartAsync(("Deployments:Workers", "0"), ("Stores:FillRate", "0"), ("Stores:CacheDirectory", second.CacheDirectory));

        (await restarted.PageAsync("mugs")).ShouldContain("Present shop");
    }

    [Fact]
    public async Task A_store_served_from_disk_during_an_outage_is_confirmed_after_it()
    {
        var first = await StartAsync();
        var shop = await DeployAsync(first, "mugs", "Former shop");
        var second = await StartAsync(("Deployments:Workers", "0"));
        (await second.PageAsync("mugs")).ShouldContain("Former shop");
        await IsOnDiskAsync(second, "mugs");
        await second.StopAsync();
        await DeployAsync(first, "mugs", "Present shop", shop);
        await AgeAsync();
        await _server.StopAsync(TestContext.Current.CancellationToken);
        var restarted = new DeployerHost(
            _database.ConnectionString, _neighbours, ("Deployments:Workers", "0"), ("Stores:FillRate", "0"), ("Stores:CacheDirectory", second.CacheDirectory));
        _deployers.Add(restarted);
        (await restarted.PageAsync("mugs")).ShouldContain("Former shop");

        await _server.StartAsync(TestContext.Current.CancellationToken);
        await Eventually.Async(async () => (await restarted.PageAsync("mugs")).ShouldContain("Present shop"));
    }

    [Fact]
    public async Task A_corrupt_entry_is_ignored()
    {
        var deployer = await StartAsync();
        await DeployAsync(deployer, "mugs", "Mug shop");
        await deployer.StopAsync();
        await _server.StopAsync(TestContext.Current.CancellationToken);
        var path = EntryOf(deployer, "mugs")!;
        var entry = await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(path, entry.Replace("index.html", "other.html", StringComparison.Ordinal), TestContext.Current.CancellationToken);

        var restarted = new DeployerHost(_database.ConnectionString, _neighbours, ("Stores:CacheDirectory", deployer.CacheDirectory));
        _deployers.Add(restarted);

        using var page = await restarted.Http.GetAsync(new Uri("/stores/mugs/", UriKind.Relative), TestContext.Current.CancellationToken);
        await page.ShouldSayThatTheDatabaseIsUnavailableAsync();
    }

    [Fact]
    public async Task Requests_are_recorded_to_within_an_hour()
    {
        var deployer = await StartAsync();
        await DeployAsync(deployer, "mugs", "Mug shop");
        var requests = deployer.Services.GetRequiredService<StoreRequests>();
        await deployer.PageAsync("mugs");
        await requests.RecordAsync(CancellationToken.None);
        (await ScalarAsync<long>("select count(*) from store_requests where slug = 'mugs' and requested_at > now() - interval '1 minute'")).ShouldBe(1);

        // Another process has a request within the hour, and one later.
        foreach (var (age, written) in ((string, bool)[])[("50 minutes", false), ("70 minutes", true)])
        {
            await ExecuteAsync($"update store_requests set requested_at = now() - interval '{age}'");
            DirectoryOf(deployer).Forget("mugs");
            await deployer.PageAsync("mugs");
            await requests.RecordAsync(CancellationToken.None);
            (await ScalarAsync<bool>("select requested_at > now() - interval '1 minute' from store_requests")).ShouldBe(written, age);
        }
    }

    private static StoreDirectory DirectoryOf(DeployerHost deployer) => deployer.Services.GetRequiredService<StoreDirectory>();

    private static string? EntryOf(DeployerHost deployer, string slug)
    {
        var folder = Path.Combine(deployer.CacheDirectory, "stores");
        return Directory.Exists(folder) ? Directory.EnumerateFiles(folder, slug, SearchOption.AllDirectories).SingleOrDefault() : null;
    }

    private static bool IsOnDisk(DeployerHost deployer, string slug) => EntryOf(deployer, slug) is not null;

    private static Task IsOnDiskAsync(DeployerHost deployer, string slug) => Eventually.TrueAsync(() => IsOnDisk(deployer, slug), description: $"{slug} on disk");

    private async Task<DeployerHost> StartAsync(params (string Key, string Value)[] settings)
    {
        var deployer = new DeployerHost(_database.ConnectionString, _neighbours, settings);
        _deployers.Add(deployer);
        await deployer.ReadyAsync();
        return deployer;
    }

    private async Task<Guid> DeployAsync(DeployerHost deployer, string slug, string name, Guid? shop = null, int size = 0)
    {
        var id = shop ?? Guid.CreateVersion7();
        // Text that doesn't compress well.
        var filler = string.Concat(Enumerable.Range(0, size / 8).Select(n => unchecked((uint)HashCode.Combine(n, slug)).ToString("x8", CultureInfo.InvariantCulture)));
        var entries = size == 0 ? null : Bundles.Entries(css: $"/* {filler} */");
        var finished = await _neighbours.FinishedAsync(await deployer.RequestAsync(id, slug, _neighbours.Publish(entries), name));
        finished.GetProperty("status").GetString().ShouldBe("live", finished.ToString());
        return id;
    }

    // Makes all changes look older than those that a starting process looks for.
    private Task AgeAsync() => ExecuteAsync("update stores set changed_at = changed_at - interval '1 day'");

    private async Task ExecuteAsync(string sql)
    {
        await using var command = _database.DataSource.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    private async Task<T> ScalarAsync<T>(string sql)
    {
        await using var command = _database.DataSource.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync())!;
    }
}
