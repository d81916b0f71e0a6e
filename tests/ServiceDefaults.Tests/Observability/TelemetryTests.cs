using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Observability;

public sealed class TelemetryTests
{
    [Fact]
    public async Task A_server_span_has_the_standard_HTTP_tags_and_the_route_in_its_name()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/shops/{id}", (Guid id) => TypedResults.NotFound()));
        using var spans = new Spans(app.Address.Port);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/shops/{Guid.Empty}?secret=1");
        request.Headers.Add("User-Agent", "tests/1.0");
        request.Headers.Add("X-Correlation-ID", "order-42");
        using var response = await app.Client.SendAsync(request);

        var span = await spans.SingleAsync();
        span.DisplayName.ShouldBe("GET /shops/{id}");
        var tags = span.TagObjects.ToDictionary(tag => tag.Key, tag => tag.Value);
        tags["http.request.method"].ShouldBe("GET");
        tags["url.scheme"].ShouldBe("http");
        tags["url.path"].ShouldBe($"/shops/{Guid.Empty}");
        tags["server.address"].ShouldBe("127.0.0.1");
        tags["server.port"].ShouldBe(app.Address.Port);
        tags["http.route"].ShouldBe("/shops/{id}");
        tags["http.response.status_code"].ShouldBe(404);
        tags["user_agent.original"].ShouldBe("tests/1.0");
        tags["correlation.id"].ShouldBe("order-42");
        span.Status.ShouldBe(ActivityStatusCode.Unset);
        tags.Values.ShouldNotContain(value => value is string && ((string)value).Contains("secret"));
    }

    [Fact]
    public async Task A_failed_request_names_its_error_and_keeps_its_route()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/broken", string () => throw new InvalidOperationException("oh")));
        using var spans = new Spans(app.Address.Port);
        using var response = await app.Client.GetAsync("/broken");
        var span = await spans.SingleAsync();
        span.DisplayName.ShouldBe("GET /broken");
        span.GetTagItem("http.response.status_code").ShouldBe(500);
        span.GetTagItem("error.type").ShouldBe("System.InvalidOperationException");
        span.Status.ShouldBe(ActivityStatusCode.Error);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_trace_is_continued_for_a_caller_with_the_token_and_begun_anew_for_a_stranger(bool trusted)
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/", () => "x"));
        using var spans = new Spans(app.Address.Port);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        request.Headers.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        if (trusted)
        {
            request.Headers.Add("X-Internal-Token", DefaultsApp.Token);
        }

        using var response = await app.Client.SendAsync(request);

        (await spans.SingleAsync()).TraceId.ToHexString().Equals("0af7651916cd43dd8448eb211c80319c", StringComparison.Ordinal).ShouldBe(trusted);
    }

    [Fact]
    public async Task Probes_are_not_traced()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/", () => "x"));
        using var spans = new Spans(app.Address.Port);
        foreach (var path in (string[])["/alive", "/ready", "/health", "/"])
        {
            using var response = await app.Client.GetAsync(path);
        }

        (await spans.SingleAsync()).DisplayName.ShouldBe("GET /");
    }

    [Fact]
    public async Task Traces_metrics_and_logs_leave_over_OTLP()
    {
        await using var collector = await StubService.StartAsync(app =>
        {
            app.MapPost("/v1/traces", () => Results.Ok());
            app.MapPost("/v1/metrics", () => Results.Ok());
            app.MapPost("/v1/logs", () => Results.Ok());
        });
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/shops", () => "x"), settings: new()
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address.ToString(),
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_SERVICE_NAME"] = "telemetry-test",
            ["OTEL_METRIC_EXPORT_INTERVAL"] = "200",
            ["OTEL_BSP_SCHEDULE_DELAY"] = "100",
            ["OTEL_BLRP_SCHEDULE_DELAY"] = "100",
        });
        using var response = await app.Client.GetAsync("/shops");
        app.App.Logger.LogWarning("marker of the telemetry test");

        await Eventually.Async(() =>
        {
            Sent("/v1/traces").ShouldContain("GET /shops");
            Sent("/v1/traces").ShouldContain("telemetry-test");
            Sent("/v1/metrics").ShouldContain("http.server.request.duration");
            Sent("/v1/logs").ShouldContain("marker of the telemetry test");
            return Task.CompletedTask;
        });

        string Sent(string path) => string.Concat(collector.Requests.Where(request => request.Path == path).Select(request => Encoding.UTF8.GetString(request.Body)));
    }

    private sealed class Spans : IDisposable
    {
        private readonly ConcurrentQueue<Activity> _stopped = new();
        private readonly ActivityListener _listener;

        public Spans(int port)
        {
            _listener = new()
            {
                ShouldListenTo = source => source.Name == "Microsoft.AspNetCore",
                Sample = (ref _) => ActivitySamplingResult.AllDataAndRecorded,
                ActivityStopped = activity =>
                {
                    if (activity.Recorded && activity.GetTagItem("server.port") is int at && at == port)
                    {
                        _stopped.Enqueue(activity);
                    }
                },
            };
            ActivitySource.AddActivityListener(_listener);
        }

        public async Task<Activity> SingleAsync()
        {
            await Eventually.TrueAsync(() => !_stopped.IsEmpty);
            return _stopped.ShouldHaveSingleItem();
        }

        public void Dispose() => _listener.Dispose();
    }
}
