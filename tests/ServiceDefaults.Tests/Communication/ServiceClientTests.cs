using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Health;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class ServiceClientTests : IAsyncDisposable
{
    private Func<HttpContext, Task> _answer = _ => Task.CompletedTask;
    private Caller _caller = null!;

    private HttpClient Client => _caller.Client;

    private Destination Leaf => _caller.Destination;

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
        _caller.Leaf.Requests.Count.ShouldBe(sends);
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

        _caller.Leaf.Requests.Count.ShouldBe(30);
        Leaf.Breaker.State.ShouldBe(CircuitState.Closed);
        Leaf.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(0);
    }

    [Fact]
    public async Task Five_refused_connections_open_the_breaker_and_the_next_call_is_not_sent()
    {
        await StartAsync(("Retry:Sends", "1"));
        await _caller.Leaf.StopAsync();

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
    public async Task A_connection_reset_in_the_middle_of_a_body_is_held_against_the_service_and_not_an_error_of_the_reader()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await StartAsync();
        _caller.Configuration["services:leaf:http:0"] = $"http://{listener.LocalEndpoint}";
        _caller.Configuration.Reload();
        var asking = Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead);
        using var connection = await listener.AcceptSocketAsync();
        await connection.ReceiveAsync(new byte[4096]);
        await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"u8.ToArray());
        using var response = await asking;
        await using var body = await response.Content.ReadAsStreamAsync();
        await body.ReadExactlyAsync(new byte[4]);

        connection.Close(timeout: 0);

        var failure = await Should.ThrowAsync<ServiceCallException>(() => body.ReadExactlyAsync(new byte[4]).AsTask());
        failure.Failure.ShouldBe(ServiceCallFailure.Unreachable);
        Leaf.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(1);
    }

    [Fact]
    public async Task A_connection_reset_while_it_is_being_made_counts_as_unreachable()
    {
        await using var caller = await Caller.StartAsync(
            context => _answer(context),
            [],
            // What SocketsHttpHandler throws then, which no server can be told to bring about.
            (_, client) => client.ConfigurePrimaryHttpMessageHandler(() => new NotConnected()));

        (await Should.ThrowAsync<ServiceCallException>(() => caller.Client.GetAsync("/"))).Failure.ShouldBe(ServiceCallFailure.Unreachable);

        caller.Destination.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(3);
    }

    [Fact]
    public async Task A_successful_probe_lets_calls_through_long_before_the_break_is_over()
    {
        await StartAsync(("Retry:Sends", "1"));
        await _caller.Leaf.StopAsync();
        for (var i = 0; i < 5; i++)
        {
            await Should.ThrowAsync<ServiceCallException>(() => Client.GetAsync("/"));
        }

        Leaf.Breaker.State.ShouldBe(CircuitState.Open);
        await _caller.Leaf.StartAgainAsync();

        await NextProbeAsync(_caller, seconds: 1);
        using var response = await Client.GetAsync("/");
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        Leaf.Breaker.State.ShouldBe(CircuitState.Closed);
    }

    [Fact]
    public async Task A_service_that_is_ready_and_fails_its_trial_calls_is_probed_less_and_less_often()
    {
        await using var caller = await Caller.StartAsync(
            context => _answer(context),
            [("Retry:Sends", "1"), ("CircuitBreaker:MinimumThroughput", "1"), ("CircuitBreaker:BreakDuration", "01:00:00")]);
        var breaker = caller.Destination.Breaker;
        await CallAsync(500);
        foreach (var seconds in (int[])[1, 2, 4, 8, 16, 30, 30])
        {
            await ProbeAsync(seconds);
            await CallAsync(500);
        }

        await ProbeAsync(30);
        await CallAsync(200);
        breaker.State.ShouldBe(CircuitState.Closed);
        breaker.ProbeInterval.TotalSeconds.ShouldBe(1);

        async Task CallAsync(int status)
        {
            Answer(status);
            using var response = await caller.Client.GetAsync("/");
            ((int)response.StatusCode).ShouldBe(status);
        }

        async Task ProbeAsync(int seconds)
        {
            breaker.State.ShouldBe(CircuitState.Open);
            breaker.ProbeInterval.TotalSeconds.ShouldBe(seconds);
            await NextProbeAsync(caller, seconds);
        }
    }

    [Fact]
    public async Task Trial_calls_at_the_end_of_a_break_leave_the_probe_interval_as_it_was()
    {
        await using var caller = await Caller.StartAsync(
            context => _answer(context),
            [("Retry:Sends", "1"), ("CircuitBreaker:MinimumThroughput", "1"), ("CircuitBreaker:BreakDuration", "00:00:00.100")]);
        var breaker = caller.Destination.Breaker;
        Answer(500);
        // all within the probe's first second
        for (var trial = 0; trial < 5; trial++)
        {
            using var response = await caller.Client.GetAsync("/");
            breaker.State.ShouldBe(CircuitState.Open);
            caller.Time.Advance(TimeSpan.FromMilliseconds(100));
        }

        caller.Leaf.Requests.Count.ShouldBe(5);
        breaker.ProbeInterval.TotalSeconds.ShouldBe(1);
    }

    [Fact]
    public async Task The_second_endpoint_is_tried_when_the_first_is_dead()
    {
        await StartAsync();
        _caller.Configuration["services:leaf:http:0"] = $"http://127.0.0.1:{FreePort.Next()}";
        _caller.Configuration["services:leaf:http:1"] = _caller.Leaf.Address.ToString();
        _caller.Configuration.Reload();

        for (var i = 0; i < 4; i++)
        {
            using var response = await Client.GetAsync("/");
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
        }
    }

    [Fact]
    public async Task A_send_tells_the_service_its_timeout_which_is_never_longer_than_what_the_caller_has_left()
    {
        await StartAsync();
        using (var response = await Client.GetAsync("/"))
        {
        }

        using (Deadline.Begin(TimeSpan.FromMilliseconds(800), _caller.Time))
        {
            using var response = await Client.GetAsync("/");
        }

        _caller.Leaf.Requests.Select(request => request.Headers["X-Request-Timeout-Ms"]).ShouldBe(["2950", "750"]);
    }

    [Fact]
    public async Task A_call_cut_short_by_its_callers_deadline_does_not_count_for_the_breaker()
    {
        await StartAsync();
        var entered = new TaskCompletionSource();
        _answer = context =>
        {
            entered.SetResult();
            return Task.Delay(Timeout.Infinite, context.RequestAborted);
        };

        using (Deadline.Begin(TimeSpan.FromMilliseconds(100), _caller.Time))
        {
            var call = Client.GetAsync("/");
            await entered.Task;
            _caller.Time.Advance(TimeSpan.FromMilliseconds(100));
            (await Should.ThrowAsync<ServiceCallException>(() => call.WaitAsync(TimeSpan.FromSeconds(60)))).Failure.ShouldBe(ServiceCallFailure.TimedOut);
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
        await Should.ThrowAsync<InvalidOperationException>(() => Client.GetAsync(new Uri($"https+http://{stranger.Address.Authority}/")));

        _caller.Leaf.Requests.ShouldHaveSingleItem().Headers["X-Internal-Token"].ShouldBe(Caller.Token);
        stranger.Requests.ShouldBeEmpty();
        _caller.Log.ShouldAllBe(line => !line.Contains(Caller.Token));
    }

    [Theory]
    [InlineData("Retry:Sends", "0", "Services:leaf:Retry:Sends is \"0\"; it must be a number between 1 and 10.")]
    [InlineData("Retry:Sends", "many", "Services:leaf:Retry:Sends is \"many\"; it must be a number between 1 and 10.")]
    [InlineData("CircuitBreaker:FailureRatio", "2", "Services:leaf:CircuitBreaker:FailureRatio is \"2\"; it must be a number between 0.01 and 1.")]
    [InlineData("AttemptTimeout", "1 second", "Services:leaf:AttemptTimeout is \"1 second\"; it must be a time span between 00:00:00.010 and 00:05:00.")]
    [InlineData("AttemptTimeout", "00:01:00", "Services:leaf:AttemptTimeout is 00:01:00; it must not be longer than ReadTimeout (00:00:10) and WriteTimeout (00:00:30).")]
    [InlineData("Retires:Sends", "1", "Services:leaf:Retires is not a setting; the settings are")]
    public async Task A_wrong_value_stops_the_service_and_names_key_value_and_range(string key, string value, string expected)
    {
        var failure = await Should.ThrowAsync<OptionsValidationException>(() => StartAsync((key, value)));

        failure.Message.ShouldContain(expected);
    }

    [Fact]
    public async Task A_disconnecting_caller_cancels_the_call_which_does_not_count_for_the_breaker()
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
        await aborted.Task;
        Leaf.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(0);
    }

    [Fact]
    public async Task A_service_that_is_down_degrades_the_health_report_and_its_breaker_is_shown()
    {
        await using var registry = await StubService.StartAsync(app => app.MapGet("/ready", () => "ready"));
        await using var app = await DefaultsApp.StartAsync(
            _ => { },
            builder =>
            {
                builder.Services.AddSingleton<TimeProvider>(new ObservableTimeProvider());
                builder.AddServiceClient("registry-client", "template-registry");
            },
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
    public async Task A_request_whose_dependency_is_unreachable_is_503_with_X_Should_Retry_false()
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
    public async Task A_request_whose_dependency_fails_is_503_with_X_Should_Retry_false()
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
        var time = new ObservableTimeProvider();
        var entered = new TaskCompletionSource();
        await using var leaf = await StubService.StartAsync(app => app.MapGet("/", context =>
        {
            entered.SetResult();
            return Task.Delay(Timeout.Infinite, context.RequestAborted);
        }));
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/", (IHttpClientFactory clients) => clients.CreateClient("leaf-client").GetStringAsync("/")),
            builder =>
            {
                builder.Services.AddSingleton<TimeProvider>(time);
                builder.AddServiceClient("leaf-client", "leaf");
            },
            new() { ["LEAF_URL"] = leaf.Address.ToString(), ["Requests:Timeout"] = "00:00:00.300" });

        var asking = app.Client.GetAsync("/");
        await entered.Task;
        time.Advance(TimeSpan.FromMilliseconds(300));
        using var response = await asking;

        response.StatusCode.ShouldBe(HttpStatusCode.GatewayTimeout);
    }

    public ValueTask DisposeAsync() => _caller?.DisposeAsync() ?? ValueTask.CompletedTask;

    private void Answer(int status) => _answer = context =>
    {
        context.Response.StatusCode = status;
        return Task.CompletedTask;
    };

    private async Task<Caller> StartAsync(params (string Key, string Value)[] policy) =>
        _caller = await Caller.StartAsync(context => _answer(context), policy);

    /// <summary>Moves the clock to the next probe of an open breaker, and waits for its success. The interval is jittered by 20 %.</summary>
    private static async Task NextProbeAsync(Caller caller, int seconds)
    {
        caller.Time.Advance(await caller.Time.TimerAsync(TimeSpan.FromSeconds(0.8 * seconds), TimeSpan.FromSeconds(seconds)));
        await Eventually.TrueAsync(() => caller.Destination.Breaker.State == CircuitState.HalfOpen);
    }

    private sealed class NotConnected : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            throw new SocketException((int)SocketError.NotConnected);
    }
}
