using System.Net;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Tests.Rendering;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests.Stores;

/// <summary>Live stores whose files are cached on disk, and nothing in memory: each test has a process of its own.</summary>
public sealed class StoreCacheTests(TestDatabase database) : IClassFixture<TestDatabase>, IAsyncLifetime
{
    private readonly Guid _shop = Guid.CreateVersion7();
    private readonly string _slug = $"mugs-{Guid.NewGuid():n}";
    private Neighbours _neighbours = null!;
    private DeployerHost _deployer = null!;

    public async ValueTask InitializeAsync()
    {
        _neighbours = await Neighbours.StartAsync();
        _deployer = new DeployerHost(database.ConnectionString, _neighbours, ("Stores:RetainedReleases", "2"));
        await _deployer.ReadyAsync();
        await DeployAsync("Mug shop");
    }

    public async ValueTask DisposeAsync()
    {
        await _deployer.DisposeAsync();
        await _neighbours.DisposeAsync();
    }

    [Fact]
    public async Task A_store_taken_down_by_another_process_answers_410_if_its_files_were_already_deleted()
    {
        // Unique pages, because other tests' shops share the plain ones.
        await DeployAsync($"only of {_slug}");
        DeleteCache();
        await using (var command = database.DataSource.CreateCommand("update stores set taken_down_at = now(), changed_at = now(), active_release = null where shop_id = $1"))
        {
            command.Parameters.AddWithValue(_shop);
            await command.ExecuteNonQueryAsync();
        }

        await _deployer.Services.GetRequiredService<CollectReleases>().ExecuteOnceAsync(CancellationToken.None);

        using var page = await GetAsync($"/stores/{_slug}/");
        page.StatusCode.ShouldBe(HttpStatusCode.Gone);
    }

    [Fact]
    public async Task A_corrupt_cache_file_is_not_served()
    {
        var css = await StylesheetAsync();
        var digest = css.Split('/')[1];
        await File.WriteAllTextAsync(Path.Combine(_deployer.CacheDirectory, "files", digest[..2], digest), "damaged");

        using var served = await GetAsync($"/stores/{_slug}/{css}");

        FileDigest.Of(await served.Content.ReadAsByteArrayAsync()).Hex.ShouldBe(digest);
    }

    [Fact]
    public async Task The_cache_can_be_deleted_at_any_time()
    {
        DeleteCache();

        (await _deployer.PageAsync(_slug)).ShouldContain("Mug shop");
        await DeployAsync("after");
        (await _deployer.PageAsync(_slug)).ShouldContain("after");
    }

    private async Task DeployAsync(string name, Dictionary<string, string>? entries = null)
    {
        var finished = await _neighbours.FinishedAsync(await _deployer.RequestAsync(_shop, _slug, _neighbours.Publish(entries), name));
        finished.GetProperty("status").GetString().ShouldBe("live", finished.ToString());
    }

    private Task<HttpResponseMessage> GetAsync(string path) => _deployer.Http.GetAsync(new Uri(path, UriKind.Relative));

    private async Task<string> StylesheetAsync() =>
        Regex.Match(await _deployer.PageAsync(_slug), "_assets/[0-9a-f]{64}/store.css", RegexOptions.None, Regex.InfiniteMatchTimeout).Value;

    // Moved away first, in one step: files of the previous release may still be written to the cache.
    private void DeleteCache()
    {
        var away = $"{_deployer.CacheDirectory}-away";
        Directory.Move(_deployer.CacheDirectory, away);
        Directory.Delete(away, recursive: true);
    }
}
