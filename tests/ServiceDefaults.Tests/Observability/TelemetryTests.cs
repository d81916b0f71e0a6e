using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Security.Claims;
using System.Text;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Observability;

public sealed class TelemetryTests
{
    private const string CallersTrace = "0af7651916cd43dd8448eb211c80319c";
    private const string CallersSpan = "b7ad6b7169203331";
    private const string Traceparent = $"00-{CallersTrace}-{CallersSpan}-01";

    // nothing listens there; the instrumentation is in place only when there is something to export to
    private static readonly Dictionary<string, string?> Exporting = new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9" };

    [Fact]
    public async Task A_server_span_has_the_standard_HTTP_tags_and_the_route_in_its_name()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/shops/{id}", (Guid id) => TypedResults.NotFound()), settings: Exporting);
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
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/broken", string () => throw new InvalidOperationException("oh")), settings: Exporting);
        using var spans = new Spans(app.Address.Port);
        using var response = await app.Client.GetAsync("/broken");
        var span = await spans.SingleAsync();
        span.DisplayName.ShouldBe("GET /broken");
        span.GetTagItem("http.response.status_code").ShouldBe(500);
        span.GetTagItem("error.type").ShouldBe("System.InvalidOperationException");
        span.Status.ShouldBe(ActivityStatusCode.Error);
    }

    [Theory]
    [InlineData(DefaultsApp.Token, true)]
    [InlineData("guessed", false)]
    [InlineData(null, false)]
    public async Task A_trace_is_continued_for_a_caller_with_the_token_and_linked_for_a_stranger(string? token, bool trusted)
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/", () => "x"), settings: Exporting);
        using var spans = new Spans(app.Address.Port);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { { "traceparent", Traceparent } } };
        if (token is not null)
        {
            request.Headers.Add("X-Internal-Token", token);
        }

        using var response = await SendAsync(app, request);

        ShouldBelongToCaller(await spans.SingleAsync(), trusted);
    }

    [Theory]
    [InlineData("/shops", "valid", true)]
    [InlineData("/shops", "guessed", false)]
    [InlineData("/shops", null, false)]
    [InlineData("/open", "valid", false)]
    public async Task A_trace_is_continued_for_an_authenticated_caller_and_linked_for_a_stranger(string path, string? key, bool authenticated)
    {
        await using var app = await StartWithKeysAsync(Exporting);
        using var spans = new Spans(app.Address.Port);
        using var request = WithKey(path, key);
        request.Headers.Add("X-Correlation-ID", "order-42");

        using var response = await SendAsync(app, request);

        response.StatusCode.ShouldBe(path == "/open" || authenticated ? HttpStatusCode.OK : HttpStatusCode.Unauthorized);
        var span = await spans.SingleAsync();
        ShouldBelongToCaller(span, authenticated);
        span.DisplayName.ShouldBe($"GET {path}");
        span.Kind.ShouldBe(ActivityKind.Server);
        span.GetTagItem("http.response.status_code").ShouldBe((int)response.StatusCode);
        span.GetTagItem("correlation.id").ShouldBe("order-42");
    }

    [Fact]
    public async Task A_continued_span_has_the_error_and_the_trace_id_of_the_problem()
    {
        await using var app = await StartWithKeysAsync(Exporting);
        using var spans = new Spans(app.Address.Port);
        using var request = WithKey("/broken", "valid");

        using var response = await SendAsync(app, request);

        (await response.ReadProblemAsync()).GetProperty("traceId").GetString().ShouldBe(CallersTrace);
        var span = await spans.SingleAsync();
        ShouldBelongToCaller(span, true);
        span.DisplayName.ShouldBe("GET /broken");
        span.GetTagItem("http.response.status_code").ShouldBe(500);
        span.GetTagItem("error.type").ShouldBe("System.InvalidOperationException");
        span.Status.ShouldBe(ActivityStatusCode.Error);
    }

    [Fact]
    public async Task Authentication_that_fails_with_an_exception_is_answered_as_ever_and_continues_no_trace()
    {
        await using var app = await StartWithKeysAsync(Exporting);
        using var spans = new Spans(app.Address.Port);
        using var request = WithKey("/shops", "throw");

        using var response = await SendAsync(app, request);

        response.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        (await response.ReadProblemAsync()).GetProperty("traceId").GetString().ShouldNotBe(CallersTrace);
        ShouldBelongToCaller(await spans.SingleAsync(), false);
    }

    [Fact]
    public async Task Only_an_authenticated_caller_can_have_its_request_sampled()
    {
        await using var collector = await StubService.StartAsync(app => app.MapPost("/v1/{signal}", () => Results.Ok()));
        await using var app = await StartWithKeysAsync(new()
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address.ToString(),
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_TRACES_SAMPLER"] = "parentbased_always_off",
            ["OTEL_BSP_SCHEDULE_DELAY"] = "100",
        });
        ConcurrentQueue<object?> stopped = new();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Microsoft.AspNetCore",
            Sample = (ref _) => ActivitySamplingResult.PropagationData,
            ActivityStopped = activity => stopped.Enqueue(activity.GetTagItem("correlation.id")),
        };
        ActivitySource.AddActivityListener(listener);
        foreach (var key in (string?[])[null, "guessed", "valid"])
        {
            using var request = WithKey("/shops", key);
            request.Headers.Add("X-Correlation-ID", $"caller-{key ?? "without-key"}");
            using var response = await SendAsync(app, request);
        }

        // the responses are there before the spans have ended
        await Eventually.TrueAsync(() => stopped.Contains("caller-without-key") && stopped.Contains("caller-guessed") && stopped.Count("caller-valid".Equals) == 2);
        await Eventually.TrueAsync(() => Traces().Contains("caller-valid", StringComparison.Ordinal));
        // spans are exported in the order in which they end
        Traces().ShouldNotContain("caller-guessed");
        Traces().ShouldNotContain("caller-without-key");

        string Traces() => string.Concat(collector.Requests.Where(request => request.Path == "/v1/traces").Select(request => request.Text));
    }

    private static Task<TestApp> StartWithKeysAsync(Dictionary<string, string?> settings) => DefaultsApp.StartAsync(
        app =>
        {
            app.MapGet("/shops", () => "x").RequireAuthorization();
            app.MapGet("/broken", string () => throw new InvalidOperationException("oh")).RequireAuthorization();
            app.MapGet("/open", () => "x").AllowAnonymous();
        },
        builder =>
        {
            builder.Services.AddAuthentication("key").AddScheme<AuthenticationSchemeOptions, TestKeys>("key", null);
            builder.Services.AddAuthorization();
        },
        settings);

    // the exporting service traces the clients of this process too: one that is traced sends a traceparent of its own
    private static async Task<HttpResponseMessage> SendAsync(TestApp app, HttpRequestMessage request)
    {
        using var client = new HttpClient(new SocketsHttpHandler { ActivityHeadersPropagator = null }) { BaseAddress = app.Address };
        return await client.SendAsync(request);
    }

    private static HttpRequestMessage WithKey(string path, string? key)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { "traceparent", Traceparent } } };
        if (key is not null)
        {
            request.Headers.Authorization = new("Bearer", key);
        }

        return request;
    }

    private static void ShouldBelongToCaller(Activity span, bool belongs)
    {
        if (belongs)
        {
            span.TraceId.ToHexString().ShouldBe(CallersTrace);
            span.ParentSpanId.ToHexString().ShouldBe(CallersSpan);
            span.Links.ShouldBeEmpty();
        }
        else
        {
            span.TraceId.ToHexString().ShouldNotBe(CallersTrace);
            span.ParentId.ShouldBeNull();
            span.Links.ShouldHaveSingleItem().Context.TraceId.ToHexString().ShouldBe(CallersTrace);
        }
    }

    [Fact]
    public async Task Probes_are_not_traced()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/", () => "x"), settings: Exporting);
        using var spans = new Spans(app.Address.Port);
        foreach (var path in (string[])["/alive", "/ready", "/health", "/metrics", "/"])
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { { "traceparent", Traceparent } } };
            using var response = await SendAsync(app, request);
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

    private sealed class TestKeys(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
        : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
    {
        protected override Task<AuthenticateResult> HandleAuthenticateAsync() => Request.Headers.Authorization.ToString() switch
        {
            "Bearer valid" => Task.FromResult(AuthenticateResult.Success(new(new(new ClaimsIdentity("key")), "key"))),
            "Bearer throw" => throw new InvalidOperationException("The key can't be verified."),
            _ => Task.FromResult(AuthenticateResult.NoResult()),
        };
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
