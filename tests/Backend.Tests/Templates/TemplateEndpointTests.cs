using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Templates;

/// <summary>A Backend that asks the registry each time, however often that fails.</summary>
public sealed class PersistentBackend(PostgresServer server) : IAsyncLifetime
{
    public BackendHost Host { get; } = new(server);

    public ValueTask InitializeAsync()
    {
        Host.Set("Services:template-registry:CircuitBreaker:MinimumThroughput", "1000");
        Host.Set("Services:template-registry:CircuitBreaker:ConnectFailures", "1000");
        return Host.InitializeAsync();
    }

    public ValueTask DisposeAsync() => Host.DisposeAsync();
}

/// <summary>Templates while the registry answers, also with invalid responses. For outages see <see cref="TemplateOutageTests"/>.</summary>
public sealed class TemplateEndpointTests : IClassFixture<PersistentBackend>
{
    private readonly BackendHost _backend;
    private readonly int _earlier;

    public TemplateEndpointTests(PersistentBackend persistent)
    {
        _backend = persistent.Host;
        _backend.Registry.Instead = null;
        _earlier = _backend.Registry.Requests.Count;
    }

    /// <summary>The uploads that this test made the registry receive.</summary>
    private IEnumerable<ReceivedRequest> Uploads => _backend.Registry.Requests.Skip(_earlier).Where(request => request.Method == "PUT");

    [Theory]
    [InlineData("/api/templates/nope")]
    [InlineData("/api/templates/Aurora")]
    [InlineData("/api/templates/..%2Fready")]
    [InlineData("/api/templates/aurora/versions/9.9.9")]
    [InlineData("/api/templates/nope/versions/1.0.0")]
    public async Task What_the_registry_does_not_have_is_404(string path) =>
        await (await _backend.Client.GetAsync(path)).ReadProblemAsync(HttpStatusCode.NotFound);

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
        var received = Uploads.ShouldHaveSingleItem();
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
    public async Task A_bundle_over_fifty_mebibytes_is_413()
    {
        AnswerPublish(201, RegistryStub.Version("aurora", "2.0.0"));

        await (await PublishAsync("aurora", "2.0.0", new ByteArrayContent(new byte[50 * 1024 * 1024 + 1]))).ReadProblemAsync(HttpStatusCode.RequestEntityTooLarge);
        Uploads.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_bundle_over_fifty_mebibytes_that_does_not_tell_its_length_never_gets_to_the_registry()
    {
        AnswerPublish(201, RegistryStub.Version("aurora", "2.0.0"));

        // the connection may be cut before the sender is done and reads the answer
        var status = await PublishAsync("aurora", "2.0.0", new StreamContent(new ChunkedStream(new byte[52 * 1024 * 1024])))
            .ContinueWith(sent => sent.IsCompletedSuccessfully ? sent.Result.StatusCode : HttpStatusCode.RequestEntityTooLarge, TaskScheduler.Default);

        status.ShouldBe(HttpStatusCode.RequestEntityTooLarge);
        Uploads.ShouldBeEmpty();
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
