using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Templates;

public sealed class TemplateEndpointTests(PostgresServer server) : IAsyncLifetime
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

    [Theory]
    [InlineData("/api/templates/nope")]
    [InlineData("/api/templates/Aurora")]
    [InlineData("/api/templates/..%2Fready")]
    [InlineData("/api/templates/aurora/versions/9.9.9")]
    [InlineData("/api/templates/nope/versions/1.0.0")]
    public async Task What_the_registry_does_not_have_is_404(string path) =>
        await (await _backend.Client.GetAsync(path)).ReadProblemAsync(HttpStatusCode.NotFound);

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

    [Theory]
    [InlineData(500, "boom")]
    [InlineData(503, "")]
    [InlineData(401, "")]
    [InlineData(200, "not json")]
    [InlineData(200, "{\"items\":null}")]
    [InlineData(200, "{\"items\":[{\"name\":\"half\"}]}")]
    public async Task An_answer_that_makes_no_sense_is_no_answer(int status, string body)
    {
        await GetAsync("/api/templates");
        _backend.Registry.Instead = context =>
        {
            context.Response.StatusCode = status;
            context.Response.ContentType = "application/json";
            return context.Response.WriteAsync(body);
        };

        var page = await GetAsync("/api/templates");
        page["stale"]!.GetValue<bool>().ShouldBeTrue();
        Names(page).ShouldBe(["aurora"]);
    }

    [Fact]
    public async Task While_the_registry_hangs_the_last_answer_is_served()
    {
        var time = new ObservableTimeProvider(DateTimeOffset.UtcNow);
        await using var replica = await _backend.StartReplicaAsync(builder => builder
            .ConfigureServices(services => services.AddSingleton<TimeProvider>(time)).UseSetting("Templates:Patience", "00:00:01"));
        replica.Client.DefaultRequestHeaders.Authorization = _backend.Client.DefaultRequestHeaders.Authorization;
        (await replica.Client.GetAsync("/api/templates")).StatusCode.ShouldBe(HttpStatusCode.OK);
        _backend.Registry.Instead = context => Task.Delay(Timeout.Infinite, context.RequestAborted);
        var requests = _backend.Registry.Requests.Count;

        var asking = replica.Client.GetAsync("/api/templates");
        await Eventually.TrueAsync(() => _backend.Registry.Requests.Count > requests);
        time.Advance(TimeSpan.FromSeconds(1));

        var page = await (await asking).ReadAsync(HttpStatusCode.OK);
        page["stale"]!.GetValue<bool>().ShouldBeTrue();
    }

    [Fact]
    public async Task A_bundle_is_passed_on_as_it_is_and_its_template_is_there_at_once()
    {
        var bundle = new byte[3 * 1024 * 1024];
        Random.Shared.NextBytes(bundle);
        AnswerPublish(201, RegistryStub.Version("aurora", "2.0.0"));

        using var response = await PublishAsync("aurora", "2.0.0", new ByteArrayContent(bundle));

        var version = await response.ReadAsync(HttpStatusCode.Created);
        ((string)version["version"]!).ShouldBe("2.0.0");
        response.Headers.Location!.ToString().ShouldBe("/api/templates/aurora/versions/2.0.0");
        var received = _backend.Registry.Requests.Single(request => request.Method == "PUT");
        received.Path.ShouldBe("/templates/aurora/versions/2.0.0");
        received.Headers["Content-Type"].ShouldBe("application/zip");
        received.Headers["X-Internal-Token"].ShouldBe(BackendHost.Token);
        received.Body.ShouldBe(bundle);
    }

    [Fact]
    public async Task The_same_bundle_again_is_200()
    {
        AnswerPublish(200, RegistryStub.Version("aurora", "1.0.0"));

        (await (await PublishAsync("aurora", "1.0.0", new ByteArrayContent([1, 2, 3]))).ReadAsync(HttpStatusCode.OK))["version"]!.GetValue<string>().ShouldBe("1.0.0");
    }

    [Theory]
    [InlineData(400)]
    [InlineData(409)]
    [InlineData(415)]
    public async Task The_registrys_refusal_is_passed_on(int status)
    {
        AnswerPublish(status, new JsonObject
        {
            ["status"] = status,
            ["title"] = "No.",
            ["detail"] = "pages/../index.hbs: leaves the bundle.",
            ["errors"] = new JsonObject { ["pages/../index.hbs"] = new JsonArray("leaves the bundle") },
        });

        var problem = await (await PublishAsync("aurora", "2.0.0", new ByteArrayContent([1, 2, 3]))).ReadProblemAsync((HttpStatusCode)status);

        ((string)problem["detail"]!).ShouldBe("pages/../index.hbs: leaves the bundle.");
        ((string)problem["errors"]!["pages/../index.hbs"]![0]!).ShouldBe("leaves the bundle");
    }

    [Fact]
    public async Task A_bundle_over_ten_mebibytes_is_413()
    {
        AnswerPublish(201, RegistryStub.Version("aurora", "2.0.0"));

        await (await PublishAsync("aurora", "2.0.0", new ByteArrayContent(new byte[10 * 1024 * 1024 + 1]))).ReadProblemAsync(HttpStatusCode.RequestEntityTooLarge);
        _backend.Registry.Requests.ShouldNotContain(request => request.Method == "PUT");
    }

    [Fact]
    public async Task A_bundle_over_ten_mebibytes_that_does_not_tell_its_length_never_gets_to_the_registry()
    {
        AnswerPublish(201, RegistryStub.Version("aurora", "2.0.0"));

        // the connection may be cut before the sender is done and reads the answer
        var status = await PublishAsync("aurora", "2.0.0", new StreamContent(new ChunkedStream(new byte[12 * 1024 * 1024])))
            .ContinueWith(sent => sent.IsCompletedSuccessfully ? sent.Result.StatusCode : HttpStatusCode.RequestEntityTooLarge, TaskScheduler.Default);

        status.ShouldBe(HttpStatusCode.RequestEntityTooLarge);
        _backend.Registry.Requests.ShouldNotContain(request => request.Method == "PUT");
    }

    [Fact]
    public async Task A_bundle_for_a_registry_that_is_down_is_503()
    {
        await _backend.Registry.StopAsync();

        using var response = await PublishAsync("aurora", "2.0.0", new ByteArrayContent([1, 2, 3]));

        await response.ReadProblemAsync(HttpStatusCode.ServiceUnavailable);
        response.Headers.RetryAfter.ShouldNotBeNull();
    }

    private void AnswerPublish(int status, JsonObject body) => _backend.Registry.Instead = context =>
    {
        context.Response.StatusCode = status;
        return context.Response.WriteAsJsonAsync(body, options: null, contentType: status < 400 ? "application/json" : "application/problem+json");
    };

    private Task<HttpResponseMessage> PublishAsync(string name, string version, HttpContent bundle)
    {
        bundle.Headers.ContentType = MediaTypeHeaderValue.Parse("application/zip");
        return _backend.Client.PutAsync($"/api/templates/{name}/versions/{version}", bundle);
    }

    private async Task<JsonObject> GetAsync(string path) => await (await _backend.Client.GetAsync(path)).ReadAsync(HttpStatusCode.OK);

    private static IEnumerable<string> Names(JsonObject page) => page["items"]!.AsArray().Select(item => (string)item!["name"]!);

    /// <summary>A stream that does not tell its length.</summary>
    private sealed class ChunkedStream(byte[] bytes) : MemoryStream(bytes)
    {
        public override bool CanSeek => false;
    }
}
