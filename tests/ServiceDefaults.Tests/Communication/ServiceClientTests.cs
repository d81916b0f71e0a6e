using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Health;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class ServiceClientTests : IAsyncDisposable
{
    private readonly List<IAsyncDisposable> _cleanup = [];
    private readonly ConcurrentQueue<string> _log = new();
    private Func<HttpContext, Task> _answer = _ => Task.CompletedTask;
    private StubService _leaf = null!;
    private IHost _host = null!;
    private IConfigurationRoot _configuration = null!;

    private HttpClient Client => _host.Services.GetRequiredService<IHttpClientFactory>().CreateClient("leaf-client");

    private Destination Leaf => _host.Services.GetRequiredService<Destinations>()["leaf"];

    [Theory]
    [InlineData("GET", false, 3)]
    [InlineData("PUT", false, 3)]
    [InlineData("DELETE", false, 3)]
    [InlineData("POST", false, 1)]
    [InlineData("PATCH", false, 1)]
    [InlineData("POST", true, 3)]
    public async Task Sends_again_only_what_may_be_done_twice(string method, bool idempotencyKey, int sends)
    {
        await StartAsync();
        Answer(500);
        using var request = new HttpRequestMessage(new(method), "/things") { Content = method == "GET" ? null : new StringContent("body") };
        if (idempotencyKey)
        {
            request.Headers.Add("Idempotency-Key", "abc");
        }

        using var response = await Client.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        _leaf.Requests.Count.ShouldBe(sends);
        _leaf.Requests.Select(r => r.Headers["X-Request-Attempt"]).ShouldBe(Enumerable.Range(1, sends).Select(n => n.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        if (method != "GET")
        {
            _leaf.Requests.ShouldAllBe(r => r.Text == "body");
        }
    }

    [Theory]
    [InlineData(408, 3)]
    [InlineData(429, 3)]
    [InlineData(500, 3)]
    [InlineData(503, 3)]
    [InlineData(404, 1)]
    [InlineData(501, 1)]
    [InlineData(505, 1)]
    public async Task Sends_again_on_transient_statuses_only(int status, int sends)
    {
        await StartAsync();
        Answer(status);

        using var response = await Client.GetAsync("/");

        ((int)response.StatusCode).ShouldBe(status);
        _leaf.Requests.Count.ShouldBe(sends);
    }

    [Fact]
    public async Task A_dead_service_gets_the_first_sends_and_ten_retries()
    {
        await StartAsync(("CircuitBreaker:Enabled", "false"), ("Retry:Delay", "00:00:00"));
        Answer(500);

        for (var i = 0; i < 100; i++)
        {
            using var response = await Client.GetAsync("/");
        }

        _leaf.Requests.Count.ShouldBe(110);
        Leaf.Calls.Recent[0].Decisions.ShouldContain("send 2 refused: budget 0 of 100");
    }

    [Fact]
    public async Task Retries_can_be_switched_off_by_configuration()
    {
        await StartAsync(("Retry:Sends", "1"));
        Answer(500);

        using var response = await Client.GetAsync("/");

        _leaf.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task An_error_from_further_down_is_neither_retried_nor_held_against_the_service()
    {
        await StartAsync();
        _answer = context =>
        {
            context.Response.StatusCode = 503;
            context.Response.Headers["X-Should-Retry"] = "false";
            return Task.CompletedTask;
        };

        for (var i = 0; i < 30; i++)
        {
            using var response = await Client.GetAsync("/");
        }

        _leaf.Requests.Count.ShouldBe(30);
        Leaf.Breaker.State.ShouldBe(CircuitState.Closed);
        Leaf.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(0);
    }

    [Fact]
    public async Task A_retry_after_beyond_the_deadline_ends_the_call_now()
    {
        await StartAsync(("ReadTimeout", "00:00:05"));
        _answer = context =>
        {
            context.Response.StatusCode = 503;
            context.Response.Headers.RetryAfter = "60";
            return Task.CompletedTask;
        };

        using var response = await Client.GetAsync("/");

        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        _leaf.Requests.Count.ShouldBe(1);
        Leaf.Calls.Recent[0].Decisions.ShouldHaveSingleItem().ShouldStartWith("send 2 refused: it would begin in 60000 ms");
    }

    [Fact]
    public async Task The_time_of_the_call_covers_a_body_that_trickles()
    {
        await StartAsync(("ReadTimeout", "00:00:02"), ("AttemptTimeout", "00:00:01.900"));
        _answer = async context =>
        {
            await context.Response.WriteAsync("the first half");
            await context.Response.Body.FlushAsync();
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        };

        var failure = await Should.ThrowAsync<ServiceCallException>(() => Client.GetStringAsync("/"));

        failure.Failure.ShouldBe(ServiceCallFailure.TimedOut);
        failure.Message.ShouldContain("body");
        Leaf.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(1);
    }

    [Fact]
    public async Task A_body_that_can_not_be_sent_twice_is_sent_once()
    {
        await StartAsync();
        Answer(500);
        using var content = new StreamContent(new OnceStream("payload"u8.ToArray()));
        using var request = new HttpRequestMessage(HttpMethod.Put, "/") { Content = content };

        using var response = await Client.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        _leaf.Requests.ShouldHaveSingleItem().Text.ShouldBe("payload");
    }

    [Fact]
    public async Task Five_refused_connections_open_the_breaker_and_the_next_call_is_not_sent()
    {
        await StartAsync(("Retry:Sends", "1"));
        await _leaf.StopAsync();

        for (var i = 0; i < 5; i++)
        {
            (await Should.ThrowAsync<ServiceCallException>(() => Client.GetAsync("/"))).Failure.ShouldBe(ServiceCallFailure.Unreachable);
        }

        using var refused = await Client.GetAsync("/");
        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        refused.Headers.RetryAfter.ShouldNotBeNull();
        refused.Headers.GetValues("X-Should-Retry").ShouldBe(["false"]);
        Leaf.Breaker.Snapshot().Counts.Rejected.ShouldBe(1);
    }

    [Fact]
    public async Task Connection_time_outs_count_as_failed_connections()
    {
        // TEST-NET-1 answers nobody; in a network that refuses at once the connection fails just as well
        await StartAsync(("Retry:Sends", "1"));
        _configuration["services:leaf:http:0"] = "http://192.0.2.1:81";
        _configuration.Reload();

        await Eventually.TrueAsync(async () =>
        {
            try
            {
                using var response = await Client.GetAsync("/");
                return response.StatusCode == HttpStatusCode.ServiceUnavailable && Leaf.Breaker.State == CircuitState.Open;
            }
            catch (ServiceCallException)
            {
                return false;
            }
        }, TimeSpan.FromSeconds(20));
    }

    [Fact]
    public async Task The_recovery_probe_brings_calls_back_long_before_the_break_is_over()
    {
        await StartAsync(("Retry:Sends", "1"));
        await _leaf.StopAsync();
        for (var i = 0; i < 5; i++)
        {
            await Should.ThrowAsync<ServiceCallException>(() => Client.GetAsync("/"));
        }

        Leaf.Breaker.State.ShouldBe(CircuitState.Open);
        await _leaf.StartAgainAsync();

        await Eventually.TrueAsync(() => Task.FromResult(Leaf.Breaker.State == CircuitState.HalfOpen), TimeSpan.FromSeconds(10));
        using var response = await Client.GetAsync("/");
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        Leaf.Breaker.State.ShouldBe(CircuitState.Closed);
    }

    [Fact]
    public async Task The_second_endpoint_is_tried_when_the_first_is_dead()
    {
        await StartAsync(("Retry:Delay", "00:00:00"));
        _configuration["services:leaf:http:0"] = $"http://127.0.0.1:{FreePort.Next()}";
        _configuration["services:leaf:http:1"] = _leaf.Address.ToString();
        _configuration.Reload();

        for (var i = 0; i < 4; i++)
        {
            using var response = await Client.GetAsync("/");
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
        }
    }

    [Fact]
    public async Task A_send_says_how_long_it_may_take_and_never_more_than_its_caller_has()
    {
        await StartAsync();
        using (var response = await Client.GetAsync("/"))
        {
        }

        using (Deadline.Begin(TimeSpan.FromMilliseconds(800), TimeProvider.System))
        {
            using var response = await Client.GetAsync("/");
        }

        int.Parse(_leaf.Requests[0].Headers["X-Request-Timeout-Ms"], System.Globalization.CultureInfo.InvariantCulture).ShouldBe(2950);
        int.Parse(_leaf.Requests[1].Headers["X-Request-Timeout-Ms"], System.Globalization.CultureInfo.InvariantCulture).ShouldBeInRange(1, 750);
    }

    [Fact]
    public async Task A_call_cut_short_by_its_caller_is_not_held_against_the_service()
    {
        await StartAsync();
        _answer = context => Task.Delay(Timeout.Infinite, context.RequestAborted);

        using (Deadline.Begin(TimeSpan.FromMilliseconds(100), TimeProvider.System))
        {
            (await Should.ThrowAsync<ServiceCallException>(() => Client.GetAsync("/"))).Failure.ShouldBe(ServiceCallFailure.TimedOut);
        }

        Leaf.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(0);
    }

    [Fact]
    public async Task Fails_fast_when_all_places_are_taken()
    {
        await StartAsync(("Concurrency:Limit", "1"), ("Concurrency:Queue", "0"));
        var entered = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        _answer = async _ =>
        {
            entered.TrySetResult();
            await release.Task;
        };
        var first = Client.GetAsync("/");
        await entered.Task;

        (await Should.ThrowAsync<ServiceCallException>(() => Client.GetAsync("/"))).Failure.ShouldBe(ServiceCallFailure.Busy);

        release.SetResult();
        using var response = await first;
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_token_goes_to_the_service_and_nowhere_else_not_even_after_a_redirect()
    {
        await using var stranger = await StubService.StartAsync(app => app.Run(_ => Task.CompletedTask));
        await StartAsync();
        _answer = context =>
        {
            context.Response.Redirect(stranger.Address.ToString());
            return Task.CompletedTask;
        };

        using var response = await Client.GetAsync("/");
        response.StatusCode.ShouldBe(HttpStatusCode.Redirect);
        await Should.ThrowAsync<InvalidOperationException>(() => Client.GetAsync(stranger.Address));

        _leaf.Requests.ShouldHaveSingleItem().Headers["X-Internal-Token"].ShouldBe("the-secret");
        stranger.Requests.ShouldBeEmpty();
        _log.ShouldAllBe(line => !line.Contains("the-secret"));
    }

    [Fact]
    public async Task A_reload_takes_effect_and_leaves_an_open_breaker_open()
    {
        await StartAsync(("Retry:Sends", "1"), ("CircuitBreaker:MinimumThroughput", "2"));
        Answer(500);
        for (var i = 0; i < 2; i++)
        {
            using var response = await Client.GetAsync("/");
        }

        Leaf.Breaker.State.ShouldBe(CircuitState.Open);
        _configuration["Services:leaf:Retry:Sends"] = "2";
        _configuration.Reload();

        Leaf.Policy.Retry.Sends.ShouldBe(2);
        Leaf.Breaker.State.ShouldBe(CircuitState.Open);
    }

    [Fact]
    public async Task An_invalid_reload_is_logged_and_the_policy_before_it_stays()
    {
        await StartAsync();

        _configuration["Services:leaf:Retry:Sends"] = "99";
        _configuration.Reload();

        Leaf.Policy.Retry.Sends.ShouldBe(3);
        _log.ShouldContain(line => line.Contains("Services:leaf:Retry:Sends is \"99\"; it must be a number between 1 and 10."));
    }

    [Theory]
    [InlineData("Retry:Sends", "0", "Services:leaf:Retry:Sends is \"0\"; it must be a number between 1 and 10.")]
    [InlineData("Retry:Sends", "many", "Services:leaf:Retry:Sends is \"many\"; it must be a number between 1 and 10.")]
    [InlineData("CircuitBreaker:FailureRatio", "2", "Services:leaf:CircuitBreaker:FailureRatio is \"2\"; it must be a number between 0.01 and 1.")]
    [InlineData("AttemptTimeout", "1 second", "Services:leaf:AttemptTimeout is \"1 second\"; it must be a time span between 00:00:00.010 and 00:05:00.")]
    [InlineData("AttemptTimeout", "00:01:00", "Services:leaf:AttemptTimeout is 00:01:00; it must not be longer than ReadTimeout (00:00:10) and WriteTimeout (00:00:30).")]
    [InlineData("Retires:Sends", "1", "Services:leaf:Retires is no setting; there are")]
    public async Task A_wrong_value_stops_the_service_and_names_key_value_and_range(string key, string value, string expected)
    {
        var failure = await Should.ThrowAsync<OptionsValidationException>(() => StartAsync((key, value)));

        failure.Message.ShouldContain(expected);
    }

    [Fact]
    public async Task A_success_logs_nothing()
    {
        await StartAsync();
        _log.Clear();

        using var response = await Client.GetAsync("/");

        _log.ShouldBeEmpty();
        Leaf.Calls.Recent.ShouldBeEmpty();
    }

    [Fact]
    public async Task The_caller_that_hangs_up_cancels_the_call_and_the_breaker_does_not_mind()
    {
        await StartAsync();
        var aborted = new TaskCompletionSource();
        var entered = new TaskCompletionSource();
        _answer = async context =>
        {
            entered.TrySetResult();
            await using var registration = context.RequestAborted.Register(aborted.SetResult);
            await aborted.Task;
        };
        using var hangUp = new CancellationTokenSource();
        var call = Client.GetAsync("/", hangUp.Token);
        await entered.Task;

        await hangUp.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => call);
        await aborted.Task.WaitAsync(TimeSpan.FromSeconds(10));
        Leaf.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(0);
    }

    [Fact]
    public async Task A_service_that_is_down_degrades_the_health_report_and_its_breaker_is_shown()
    {
        await using var registry = await StubService.StartAsync(app => app.MapGet("/ready", () => "ready"));
        await using var app = await DefaultsApp.StartAsync(
            _ => { },
            builder => builder.AddServiceClient("registry-client", "template-registry"),
            new() { ["TEMPLATE_REGISTRY_URL"] = registry.Address.ToString(), ["Services:template-registry:Retry:Sends"] = "1" });
        var healthy = await app.Client.GetFromJsonAsync<HealthReport>("/health");
        (healthy!.Status, healthy.Dependencies["template-registry"], healthy.CircuitBreakers["template-registry"].State).ShouldBe(("healthy", "connected", "closed"));

        await registry.StopAsync();
        var client = app.Get<IHttpClientFactory>().CreateClient("registry-client");
        for (var i = 0; i < 5; i++)
        {
            await Should.ThrowAsync<ServiceCallException>(() => client.GetAsync("/"));
        }

        using var response = await app.Client.GetAsync("/health");
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        var report = await response.Content.ReadFromJsonAsync<HealthReport>();
        (report!.Status, report.Dependencies["template-registry"], report.CircuitBreakers["template-registry"].State).ShouldBe(("degraded", "disconnected", "open"));
        report.CircuitBreakers["template-registry"].Counts.ConsecutiveFailures.ShouldBe(5);
    }

    [Fact]
    public async Task A_request_that_fails_of_its_dependency_is_503_and_says_that_retrying_was_done()
    {
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/", (IHttpClientFactory clients) => clients.CreateClient("leaf-client").GetStringAsync("/")),
            builder => builder.AddServiceClient("leaf-client", "leaf"),
            new() { ["LEAF_URL"] = $"http://127.0.0.1:{FreePort.Next()}", ["Services:leaf:Retry:Delay"] = "00:00:00" });

        using var response = await app.Client.GetAsync("/");

        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        response.Headers.RetryAfter.ShouldNotBeNull();
        response.Headers.GetValues("X-Should-Retry").ShouldBe(["false"]);
        (await response.ReadProblemAsync()).GetProperty("detail").GetString().ShouldBe("leaf does not answer. Try again later.");
    }

    [Fact]
    public async Task A_request_that_fails_of_an_error_of_its_dependency_is_503_and_says_that_retrying_was_done()
    {
        await using var leaf = await StubService.StartAsync(app => app.MapGet("/", () => Results.StatusCode(500)));
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/", (IHttpClientFactory clients) => clients.CreateClient("leaf-client").GetStringAsync("/")),
            builder => builder.AddServiceClient("leaf-client", "leaf"),
            new() { ["LEAF_URL"] = leaf.Address.ToString(), ["Services:leaf:Retry:Delay"] = "00:00:00" });

        using var response = await app.Client.GetAsync("/");

        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        response.Headers.GetValues("X-Should-Retry").ShouldBe(["false"]);
        leaf.Requests.Count.ShouldBe(3);
    }

    [Fact]
    public async Task A_request_whose_time_is_up_before_its_dependency_answers_is_504()
    {
        await using var leaf = await StubService.StartAsync(app => app.MapGet("/", context => Task.Delay(Timeout.Infinite, context.RequestAborted)));
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/", (IHttpClientFactory clients) => clients.CreateClient("leaf-client").GetStringAsync("/")),
            builder => builder.AddServiceClient("leaf-client", "leaf"),
            new() { ["LEAF_URL"] = leaf.Address.ToString(), ["Requests:Timeout"] = "00:00:00.300" });

        using var response = await app.Client.GetAsync("/");

        response.StatusCode.ShouldBe(HttpStatusCode.GatewayTimeout);
    }

    public async ValueTask DisposeAsync()
    {
        _cleanup.Reverse();
        foreach (var item in _cleanup)
        {
            await item.DisposeAsync();
        }
    }

    private void Answer(int status) => _answer = context =>
    {
        context.Response.StatusCode = status;
        return Task.CompletedTask;
    };

    private async Task StartAsync(params (string Key, string Value)[] policy)
    {
        _leaf = await StubService.StartAsync(app =>
        {
            app.MapGet("/ready", () => "ready");
            app.MapFallback(context => _answer(context));
        });
        _cleanup.Add(_leaf);

        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["services:leaf:http:0"] = _leaf.Address.ToString(),
            ["InternalToken"] = "the-secret",
            ["Shutdown:DrainDelay"] = "00:00:00",
        });
        builder.Configuration.AddInMemoryCollection(policy.ToDictionary(p => $"Services:leaf:{p.Key}", p => (string?)p.Value));
        builder.AddServiceDefaults();
        builder.Logging.SetMinimumLevel(LogLevel.Information);
        builder.Logging.AddProvider(new ListProvider(_log));
        builder.AddServiceClient("leaf-client", "leaf");
        _configuration = (IConfigurationRoot)builder.Configuration;
        _host = builder.Build();
        await _host.StartAsync();
        _cleanup.Add(new HostCleanup(_host));
    }

    private sealed class HostCleanup(IHost host) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await host.StopAsync();
            host.Dispose();
        }
    }

    private sealed class OnceStream(byte[] bytes) : MemoryStream(bytes)
    {
        public override bool CanSeek => false;
    }

    private sealed class ListProvider(ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue(formatter(state, exception));

        public void Dispose()
        {
        }
    }
}
