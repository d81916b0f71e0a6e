using System.Net;
using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Deployments;

/// <summary>A Backend whose event streams send heartbeats every 200 ms.</summary>
public sealed class BackendWithHeartbeats(PostgresServer server) : IAsyncLifetime
{
    public BackendHost Host { get; } = new(server);

    public ValueTask InitializeAsync()
    {
        Host.Set("DeploymentEvents:Heartbeat", "00:00:00.200");
        return Host.InitializeAsync();
    }

    public ValueTask DisposeAsync() => Host.DisposeAsync();
}

public sealed class DeploymentEventTests(BackendWithHeartbeats heartbeats) : IClassFixture<BackendWithHeartbeats>
{
    private readonly BackendHost _backend = heartbeats.Host;

    [Fact]
    public async Task A_stream_tells_everything_from_the_start_and_ends_with_the_deployment()
    {
        var deployment = await _backend.DeployAsync(await _backend.CreateShopAsync());
        using var response = await OpenAsync(deployment);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("text/event-stream");
        response.Headers.CacheControl!.NoCache.ShouldBeTrue();
        await using var events = Read(response);

        (await NextAsync(events)).ShouldBe(("1", "progressed", "queued", 0));
        await _backend.ProgressAsync(deployment, "running", "fetch");
        (await NextAsync(events)).ShouldBe(("2", "progressed", "running", 1));
        await _backend.ProgressAsync(deployment, "running", "fetch", "render");
        (await NextAsync(events)).ShouldBe(("3", "progressed", "running", 2));
        await _backend.FinishAsync(deployment, "live", Guid.CreateVersion7());
        (await NextAsync(events)).ShouldBe(("4", "finished", "live", 1));
        (await events.MoveNextAsync()).ShouldBeFalse();
    }

    [Fact]
    public async Task A_stream_resumes_after_the_last_event_that_the_client_has_seen()
    {
        var deployment = await _backend.DeployAsync(await _backend.CreateShopAsync());
        await _backend.ProgressAsync(deployment, "running", "fetch");
        await _backend.ProgressAsync(deployment, "running", "fetch", "render");

        using var response = await OpenAsync(deployment, "2");
        await using var events = Read(response);
        (await NextAsync(events)).ShouldBe(("3", "progressed", "running", 2));
        await _backend.FinishAsync(deployment, "failed", error: new { code = "x", message = "two\nlines" });
        (await NextAsync(events)).ShouldBe(("4", "finished", "failed", 1));
        (await events.MoveNextAsync()).ShouldBeFalse();

        using var done = await OpenAsync(deployment, "4");
        done.StatusCode.ShouldBe(HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task A_deployment_that_failed_and_was_retried_is_followed_to_its_second_end()
    {
        var deployment = await _backend.DeployAsync(await _backend.CreateShopAsync());
        await _backend.FinishAsync(deployment, "failed", error: new { code = "x", message = "y" });
        (await _backend.Client.PostAsync($"/api/deployments/{deployment.Id()}/retry", null)).StatusCode.ShouldBe(HttpStatusCode.Accepted);

        using var response = await OpenAsync(deployment);
        await using var events = Read(response);
        (await NextAsync(events)).Status.ShouldBe("queued");
        (await NextAsync(events)).Status.ShouldBe("failed");
        (await NextAsync(events)).Status.ShouldBe("queued");
        await _backend.FinishAsync(deployment, "live", Guid.CreateVersion7());
        (await NextAsync(events)).Status.ShouldBe("live");
        (await events.MoveNextAsync()).ShouldBeFalse();
    }

    [Fact]
    public async Task A_stream_interrupted_by_a_restart_resumes_where_it_stopped()
    {
        var deployment = await _backend.DeployAsync(await _backend.CreateShopAsync());
        using (var before = await OpenAsync(deployment))
        {
            await using var events = Read(before);
            (await NextAsync(events)).Id.ShouldBe("1");
            var ended = events.MoveNextAsync().AsTask();
            await _backend.RestartAsync();
            // The stream ends in order or with a broken connection, whichever comes first.
            await Task.WhenAny(ended).WaitAsync(TimeSpan.FromSeconds(60));
            (ended.IsCompletedSuccessfully && await ended).ShouldBeFalse();
        }

        await _backend.FinishAsync(deployment, "superseded");
        using var after = await OpenAsync(deployment, "1");
        await using var rest = Read(after);
        (await NextAsync(rest)).ShouldBe(("2", "finished", "superseded", 1));
    }

    [Fact]
    public async Task An_idle_stream_sends_heartbeats()
    {
        var deployment = await _backend.DeployAsync(await _backend.CreateShopAsync());
        using var response = await OpenAsync(deployment);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());

        var comments = 0;
        while (comments < 2)
        {
            if ((await reader.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(TimeSpan.FromSeconds(60)))!.StartsWith(':'))
                comments++;
        }
    }

    [Theory]
    [InlineData("x")]
    [InlineData("-1")]
    public async Task An_invalid_Last_Event_ID_is_a_bad_field(string lastEventId)
    {
        var deployment = await _backend.DeployAsync(await _backend.CreateShopAsync());

        (await (await OpenAsync(deployment, lastEventId)).ReadBadFieldsAsync()).ShouldBe(["Last-Event-ID"]);
    }

    private Task<HttpResponseMessage> OpenAsync(JsonObject deployment, string? lastEventId = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"/api/deployments/{deployment.Id()}/events");
        if (lastEventId is not null)
            request.Headers.TryAddWithoutValidation("Last-Event-ID", lastEventId);
        return _backend.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    private static IAsyncEnumerator<SseItem<string>> Read(HttpResponseMessage response) =>
        SseParser.Create(response.Content.ReadAsStream(), (_, data) => Encoding.UTF8.GetString(data)).EnumerateAsync().GetAsyncEnumerator();

    private static async Task<(string? Id, string Event, string Status, int Steps)> NextAsync(IAsyncEnumerator<SseItem<string>> events)
    {
        (await events.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60))).ShouldBeTrue();
        var data = JsonNode.Parse(events.Current.Data)!;
        return (events.Current.EventId, events.Current.EventType, (string)data["status"]!, data["steps"]!.AsArray().Count);
    }
}
