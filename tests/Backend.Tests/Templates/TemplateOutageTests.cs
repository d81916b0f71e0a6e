using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Templates;

/// <summary>Templates before and during an outage of the registry. Each test has its own Backend, registry and cache.</summary>
public sealed class TemplateOutageTests(PostgresServer server) : IAsyncLifetime
{
    private readonly BackendHost _backend = new(server);

    public ValueTask InitializeAsync() => _backend.InitializeAsync();

    public ValueTask DisposeAsync() => _backend.DisposeAsync();

    [Fact]
    public async Task Templates_come_from_the_registry()
    {
        using var list = await _backend.Client.GetAsync("/api/templates");
        var page = await list.ReadAsync(HttpStatusCode.OK);
        page["stale"]!.GetValue<bool>().ShouldBeFalse();
        list.Headers.Age.ShouldBeNull();
        var item = page["items"]!.AsArray().ShouldHaveSingleItem()!.AsObject();
        ((string)item["name"]!).ShouldBe("aurora");
        ((string)item["latestVersion"]!).ShouldBe("1.1.0");
        item["versions"]!.AsArray().Count.ShouldBe(2);

        var template = await GetAsync("/api/templates/aurora");
        ((string)template["title"]!).ShouldBe("aurora 1.1.0");
        template["stale"]!.GetValue<bool>().ShouldBeFalse();

        var version = await GetAsync("/api/templates/aurora/versions/1.0.0");
        ((string)version["digest"]!).ShouldStartWith("sha256:");
        version["size"]!.GetValue<int>().ShouldBe(1234);
        version["stale"]!.GetValue<bool>().ShouldBeFalse();
        version["parameters"]!.AsArray().Select(parameter => (string)parameter!["name"]!).ShouldBe(["tagline", "accent", "columns"]);
        ((string)version["parameters"]![1]!["default"]!).ShouldBe("#112233");
        version["parameters"]![2]!["max"]!.GetValue<int>().ShouldBe(6);
    }

    [Fact]
    public async Task Lists_are_searched_and_paged_also_when_the_registry_is_down()
    {
        foreach (var name in new[] { "birch", "cedar", "cedar-dark" })
            _backend.Registry.Templates[name] = [RegistryStub.Version(name, "1.0.0")];
        await GetAsync("/api/templates");
        await _backend.Registry.StopAsync();

        Names(await GetAsync("/api/templates?search=CEDAR")).ShouldBe(["cedar", "cedar-dark"]);
        var first = await GetAsync("/api/templates?limit=3");
        Names(first).ShouldBe(["aurora", "birch", "cedar"]);
        first["stale"]!.GetValue<bool>().ShouldBeTrue();
        var second = await GetAsync($"/api/templates?limit=3&cursor={(string)first["nextCursor"]!}");
        Names(second).ShouldBe(["cedar-dark"]);
        second["nextCursor"].ShouldBeNull();
        Names(await GetAsync("/api/templates?search=oak")).ShouldBeEmpty();
        (await (await _backend.Client.GetAsync($"/api/templates?search={new string('x', 101)}")).ReadBadFieldsAsync()).ShouldBe(["search"]);
    }

    [Fact]
    public async Task While_the_registry_is_down_the_last_good_answers_stand_marked_as_stale_also_after_a_restart()
    {
        string[] paths = ["/api/templates", "/api/templates/aurora", "/api/templates/aurora/versions/1.0.0"];
        foreach (var path in paths)
            await GetAsync(path);
        await _backend.Registry.StopAsync();

        for (var restarted = 0; restarted < 2; restarted++)
        {
            foreach (var path in paths)
            {
                using var response = await _backend.Client.GetAsync(path);
                (await response.ReadAsync(HttpStatusCode.OK))["stale"]!.GetValue<bool>().ShouldBeTrue(path);
                response.Headers.Age.ShouldNotBeNull().ShouldBeLessThan(TimeSpan.FromMinutes(1));
            }

            using var unknown = await _backend.Client.GetAsync("/api/templates/aurora/versions/3.0.0");
            await unknown.ReadProblemAsync(HttpStatusCode.ServiceUnavailable);
            unknown.Headers.RetryAfter.ShouldNotBeNull();
            await _backend.RestartAsync();
        }

        // a new shop can be made from what is known
        using var created = await _backend.Client.PostAsync("/api/shops", System.Net.Http.Json.JsonContent.Create(BackendHost.NewShop()));
        await created.ReadAsync(HttpStatusCode.Created);

        await _backend.Registry.StartAgainAsync();
        await Eventually.Async(async () => (await GetAsync("/api/templates"))["stale"]!.GetValue<bool>().ShouldBeFalse());
    }

    [Fact]
    public async Task The_latest_versions_are_fetched_before_anyone_asks()
    {
        await Eventually.Async(() =>
        {
            _backend.Registry.Requests.ShouldContain(request => request.Path == "/templates/aurora/versions/1.1.0");
            return Task.CompletedTask;
        });
        await Eventually.Async(async () =>
        {
            await using var command = _backend.Database.DataSource.CreateCommand("select count(*) from template_cache where key = 'templates/aurora/versions/1.1.0'");
            (await command.ExecuteScalarAsync()).ShouldBe(1L);
        });
        await _backend.Registry.StopAsync();

        (await GetAsync("/api/templates/aurora/versions/1.1.0"))["stale"]!.GetValue<bool>().ShouldBeTrue();
    }

    [Fact]
    public async Task A_bundle_for_a_registry_that_is_down_is_503()
    {
        await _backend.Registry.StopAsync();

        using var bundle = new ByteArrayContent([1, 2, 3]) { Headers = { ContentType = MediaTypeHeaderValue.Parse("application/zip") } };
        using var response = await _backend.Client.PutAsync("/api/templates/aurora/versions/2.0.0", bundle);

        await response.ReadProblemAsync(HttpStatusCode.ServiceUnavailable);
        response.Headers.RetryAfter.ShouldNotBeNull();
    }

    private async Task<JsonObject> GetAsync(string path) => await (await _backend.Client.GetAsync(path)).ReadAsync(HttpStatusCode.OK);

    private static IEnumerable<string> Names(JsonObject page) => page["items"]!.AsArray().Select(item => (string)item!["name"]!);
}
