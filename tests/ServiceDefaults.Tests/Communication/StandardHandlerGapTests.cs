using System.Diagnostics.Metrics;
using System.Net;
using System.Runtime.ExceptionServices;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Http.Resilience;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Communication;
using Platform.TestSupport;
using Polly;
using Polly.CircuitBreaker;
using Polly.Timeout;
using CircuitState = Platform.ServiceDefaults.Communication.CircuitState;

namespace Platform.ServiceDefaults.Tests.Communication;

/// <summary>
/// Where a service client and Microsoft's standard handler, as it comes, part: the same situation for both. Of the standard handler's defaults only
/// those are changed that the difference does not depend on: pauses, and numbers of calls that a test would have to wait for.
/// </summary>
public sealed class StandardHandlerGapTests : IAsyncDisposable
{
    private static readonly AsyncLocal<bool> IsCounting = new();

    private readonly List<Caller> _callers = [];

    [Theory]
    [InlineData("GET", false, 3)]
    [InlineData("PUT", false, 3)]
    [InlineData("DELETE", false, 3)]
    [InlineData("POST", false, 1)]
    [InlineData("PATCH", false, 1)]
    [InlineData("POST", true, 3)]
    public async Task What_may_not_be_done_twice_is_sent_once_and_not_four_times(string method, bool idempotencyKey, int sends)
    {
        var standard = await StandardAsync(Answer(500), options => options.Retry.Delay = TimeSpan.Zero);
        var ours = await ServiceClientAsync(Answer(500));
        foreach (var caller in _callers)
        {
            using var request = new HttpRequestMessage(new(method), "/things") { Content = method == "GET" ? null : new StringContent("body") };
            if (idempotencyKey)
            {
                request.Headers.Add("Idempotency-Key", "abc");
            }

            using var response = await caller.Client.SendAsync(request);
            response.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        }

        standard.Leaf.Requests.Count.ShouldBe(4);
        ours.Leaf.Requests.Count.ShouldBe(sends);
        ours.Leaf.Requests.Select(r => r.Headers["X-Request-Attempt"]).ShouldBe(Enumerable.Range(1, sends).Select(n => n.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        if (method != "GET")
        {
            ours.Leaf.Requests.ShouldAllBe(r => r.Text == "body");
        }
    }

    [Fact]
    public async Task A_dead_service_gets_the_first_sends_and_ten_retries_and_not_four_times_the_load()
    {
        var standard = await StandardAsync(Answer(500), options =>
        {
            options.Retry.Delay = TimeSpan.Zero;
            options.CircuitBreaker.MinimumThroughput = int.MaxValue;
        });
        var ours = await ServiceClientAsync(Answer(500), ("CircuitBreaker:Enabled", "false"));
        foreach (var caller in _callers)
        {
            for (var i = 0; i < 100; i++)
            {
                using var response = await caller.Client.GetAsync("/");
            }
        }

        standard.Leaf.Requests.Count.ShouldBe(400);
        ours.Leaf.Requests.Count.ShouldBe(110);
        ours.Destination.Calls.Recent[0].Decisions.ShouldContain("send 2 refused: budget 0 of 100");
    }

    [Fact]
    public async Task A_retry_after_beyond_the_deadline_ends_the_call_now_and_not_when_its_time_is_up()
    {
        static Task InAMinute(HttpContext context)
        {
            context.Response.StatusCode = 503;
            context.Response.Headers.RetryAfter = "60";
            return Task.CompletedTask;
        }

        var standard = await StandardAsync(InAMinute, _ => { });
        var ours = await ServiceClientAsync(InAMinute);

        var waiting = standard.Client.GetAsync("/");
        await standard.Time.TimerAsync(TimeSpan.FromMinutes(1));
        standard.Time.Advance(TimeSpan.FromSeconds(30));
        await Should.ThrowAsync<TimeoutRejectedException>(() => waiting);
        using var response = await ours.Client.GetAsync("/");

        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromMinutes(1));
        ours.Leaf.Requests.Count.ShouldBe(1);
        ours.Destination.Calls.Recent[0].Decisions.ShouldHaveSingleItem().ShouldStartWith("send 2 refused: it would begin in 60000 ms");
    }

    [Fact]
    public async Task The_time_of_a_call_covers_its_body_too()
    {
        var rest = new TaskCompletionSource();
        async Task Trickle(HttpContext context)
        {
            await context.Response.WriteAsync("first ");
            await context.Response.Body.FlushAsync();
            await rest.Task.WaitAsync(context.RequestAborted);
            await context.Response.WriteAsync("and rest");
        }

        var standard = await StandardAsync(Trickle, _ => { });
        var ours = await ServiceClientAsync(Trickle);
        using var theirs = await standard.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead);
        using var response = await ours.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead);
        var reading = theirs.Content.ReadAsStringAsync();
        await ours.Time.TimerAsync(TimeSpan.FromSeconds(10));
        var failing = response.Content.ReadAsStringAsync();
        // The first timer of this length was for the headers; this one is for the body.
        await ours.Time.TimerAsync(TimeSpan.FromSeconds(10));

        standard.Time.Advance(TimeSpan.FromHours(1));
        ours.Time.Advance(TimeSpan.FromSeconds(10));

        var failure = await Should.ThrowAsync<ServiceCallException>(() => failing);
        failure.Failure.ShouldBe(ServiceCallFailure.TimedOut);
        failure.Message.ShouldContain("body");
        ours.Destination.Breaker.Snapshot().Counts.TotalFailures.ShouldBe(1);
        reading.IsCompleted.ShouldBeFalse();
        rest.SetResult();
        (await reading).ShouldBe("first and rest");
    }

    [Fact]
    public async Task Connection_time_outs_open_the_breaker()
    {
        var attempts = 0;
        SocketsHttpHandler ToNobody() => new()
        {
            ConnectTimeout = TimeSpan.FromMilliseconds(20),
            ConnectCallback = async (_, cancellationToken) =>
            {
                attempts++;
                await Task.Delay(Timeout.Infinite, cancellationToken);
                throw new InvalidOperationException();
            },
        };
        var standard = await AddAsync(Caller.StartAsync(Answer(200), (builder, leaf) => builder.Services
            .AddHttpClient(Caller.ClientName, client => client.BaseAddress = leaf)
            .ConfigurePrimaryHttpMessageHandler(ToNobody)
            .AddStandardResilienceHandler(options =>
            {
                options.Retry.Delay = TimeSpan.Zero;
                options.CircuitBreaker.MinimumThroughput = 2;
            })));
        var ours = await AddAsync(Caller.StartAsync(Answer(200), [("Retry:Sends", "1")], (_, client) => client.ConfigurePrimaryHttpMessageHandler(ToNobody)));

        for (var i = 0; i < 5; i++)
        {
            var timedOut = (await Record.ExceptionAsync(() => standard.Client.GetAsync("/"))).ShouldBeAssignableTo<OperationCanceledException>();
            timedOut!.InnerException.ShouldBeOfType<TimeoutException>();
        }

        attempts.ShouldBe(20);
        attempts = 0;
        for (var i = 0; i < 5; i++)
        {
            (await Should.ThrowAsync<ServiceCallException>(() => ours.Client.GetAsync("/"))).Failure.ShouldBe(ServiceCallFailure.Unreachable);
        }

        using var refused = await ours.Client.GetAsync("/");
        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        attempts.ShouldBe(5);
        ours.Destination.Breaker.Snapshot().LastError.ShouldBe("connection timed out");
    }

    [Fact]
    public async Task Each_service_has_a_breaker_of_its_own()
    {
        await using var well = await StubService.StartAsync(app => app.Run(_ => Task.CompletedTask));
        var standard = await AddAsync(Caller.StartAsync(Answer(500), (builder, leaf) =>
        {
            builder.Services.ConfigureHttpClientDefaults(http => http.AddStandardResilienceHandler(FailingAtOnce));
            builder.Services.AddHttpClient(Caller.ClientName, client => client.BaseAddress = leaf);
            builder.Services.AddHttpClient("well", client => client.BaseAddress = well.Address);
        }));
        var ours = await AddAsync(Caller.StartAsync(Answer(500), [("Retry:Sends", "1"), ("CircuitBreaker:MinimumThroughput", "2")], (builder, _) =>
        {
            builder.Configuration["services:well:http:0"] = well.Address.ToString();
            builder.AddServiceClient("well", "well");
        }));
        await FailTwiceAsync();

        await Should.ThrowAsync<BrokenCircuitException>(() => standard.ClientOf("well").GetAsync("/"));
        ours.Destination.Breaker.State.ShouldBe(CircuitState.Open);
        using var response = await ours.ClientOf("well").GetAsync("/");
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_client_of_its_own_does_not_multiply_the_retries_of_the_defaults()
    {
        var standard = await AddAsync(Caller.StartAsync(Answer(500), (builder, leaf) =>
        {
            builder.Services.ConfigureHttpClientDefaults(http => http.AddStandardResilienceHandler(options => options.Retry.Delay = TimeSpan.Zero));
            builder.Services.AddHttpClient(Caller.ClientName, client => client.BaseAddress = leaf).AddStandardResilienceHandler(options => options.Retry.Delay = TimeSpan.Zero);
        }));
        var ours = await ServiceClientAsync(Answer(500));
        foreach (var caller in _callers)
        {
            using var response = await caller.Client.GetAsync("/");
        }

        standard.Leaf.Requests.Count.ShouldBe(16);
        ours.Leaf.Requests.Count.ShouldBe(3);
    }

    [Fact]
    public async Task A_reload_takes_effect_and_leaves_an_open_breaker_open()
    {
        var standard = await ConfiguredStandardAsync(("CircuitBreaker:MinimumThroughput", "2"));
        var ours = await ServiceClientAsync(Answer(500), ("Retry:Sends", "1"), ("CircuitBreaker:MinimumThroughput", "2"));
        await FailTwiceAsync();
        await Should.ThrowAsync<BrokenCircuitException>(() => standard.Client.GetAsync("/"));
        ours.Destination.Breaker.State.ShouldBe(CircuitState.Open);

        standard.Configuration["Http:TotalRequestTimeout:Timeout"] = "00:00:20";
        standard.Configuration.Reload();
        ours.Configuration["Services:leaf:Retry:Sends"] = "2";
        ours.Configuration.Reload();

        (await standard.Client.GetAsync("/")).StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        standard.Leaf.Requests.Count.ShouldBe(3);
        ours.Destination.Policy.Retry.Sends.ShouldBe(2);
        ours.Destination.Breaker.State.ShouldBe(CircuitState.Open);
        (await ours.Client.GetAsync("/")).StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        ours.Leaf.Requests.Count(request => request.Path == "/").ShouldBe(2);
    }

    [Fact]
    public async Task An_invalid_reload_is_logged_and_the_policy_before_it_stays_and_nothing_is_thrown()
    {
        var standard = await ConfiguredStandardAsync(("CircuitBreaker:FailureRatio", "0.5"));
        var ours = await ServiceClientAsync(Answer(500), ("Retry:Sends", "2"));

        standard.Configuration["Http:CircuitBreaker:FailureRatio"] = "50";
        var thrown = Should.Throw<AggregateException>(standard.Configuration.Reload);
        ours.Configuration["Services:leaf:Retry:Sends"] = "99";
        ours.Configuration.Reload();

        thrown.GetBaseException().ShouldBeOfType<OptionsValidationException>();
        ours.Destination.Policy.Retry.Sends.ShouldBe(2);
        ours.Log.ShouldContain(line => line.Contains("Services:leaf:Retry:Sends is \"99\"; it must be a number between 1 and 10."));
    }

    [Fact]
    public async Task Retries_can_be_switched_off_by_configuration()
    {
        var failure = await Should.ThrowAsync<OptionsValidationException>(() => ConfiguredStandardAsync(("Retry:MaxRetryAttempts", "0")));
        failure.Message.ShouldContain("MaxRetryAttempts");

        var ours = await ServiceClientAsync(Answer(500), ("Retry:Sends", "1"));
        using var response = await ours.Client.GetAsync("/");
        ours.Leaf.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_body_that_can_not_be_sent_twice_is_sent_once_and_the_answer_to_it_is_not_lost()
    {
        var standard = await StandardAsync(Answer(500), options => options.Retry.Delay = TimeSpan.Zero);
        var ours = await ServiceClientAsync(Answer(500));

        async Task<HttpResponseMessage> PutAsync(Caller caller)
        {
            using var request = new HttpRequestMessage(HttpMethod.Put, "/") { Content = new StreamContent(new OnceStream("payload"u8.ToArray())) };
            return await caller.Client.SendAsync(request);
        }

        (await Should.ThrowAsync<HttpRequestException>(() => PutAsync(standard))).StatusCode.ShouldBeNull();
        using var response = await PutAsync(ours);

        response.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        ours.Leaf.Requests.ShouldHaveSingleItem().Text.ShouldBe("payload");
    }

    [Fact]
    public async Task An_open_breaker_answers_without_an_exception()
    {
        var standard = await StandardAsync(Answer(500), FailingAtOnce);
        var ours = await ServiceClientAsync(Answer(500), ("Retry:Sends", "1"), ("CircuitBreaker:MinimumThroughput", "2"));
        await FailTwiceAsync();

        (await CountExceptionsAsync(() => Should.ThrowAsync<BrokenCircuitException>(() => standard.Client.GetAsync("/")))).ShouldBeGreaterThan(0);
        (await CountExceptionsAsync(async () => (await ours.Client.GetAsync("/")).StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable))).ShouldBe(0);
    }

    [Fact]
    public async Task State_and_failure_rate_of_a_breaker_can_be_seen()
    {
        var standard = await StandardAsync(Answer(500), FailingAtOnce);
        var ours = await ServiceClientAsync(Answer(500), ("Retry:Sends", "1"), ("CircuitBreaker:MinimumThroughput", "2"));
        await FailTwiceAsync();

        new HttpStandardResilienceOptions().CircuitBreaker.StateProvider.ShouldBeNull();
        Gauges(standard).ShouldNotContain(gauge => gauge.Name.Contains("breaker") || gauge.Name.Contains("circuit"));
        Gauges(ours).ShouldContain(("platform.communication.breaker.state", (double)CircuitState.Open));
        var status = ours.Services.GetRequiredService<CommunicationStatus>().Services["leaf"];
        (status.CircuitBreaker.State, status.CircuitBreaker.Counts.TotalFailures, status.FailureRatio, status.LastError).ShouldBe(("open", 2, 1, "500"));
    }

    [Fact]
    public async Task A_success_logs_nothing()
    {
        var standard = await StandardAsync(Answer(200), _ => { });
        var ours = await ServiceClientAsync(Answer(200));
        foreach (var caller in _callers)
        {
            caller.Log.Clear();
            using var response = await caller.Client.GetAsync("/");
        }

        standard.Log.Count.ShouldBeGreaterThanOrEqualTo(2);
        ours.Log.ShouldBeEmpty();
        ours.Destination.Calls.Recent.ShouldBeEmpty();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var caller in _callers)
        {
            await caller.DisposeAsync();
        }
    }

    private static Func<HttpContext, Task> Answer(int status) => context =>
    {
        context.Response.StatusCode = status;
        return Task.CompletedTask;
    };

    private static void FailingAtOnce(HttpStandardResilienceOptions options)
    {
        options.Retry.ShouldHandle = _ => PredicateResult.False();
        options.CircuitBreaker.MinimumThroughput = 2;
    }

    private static async Task<int> CountExceptionsAsync(Func<Task> action)
    {
        var count = 0;
        void OnThrow(object? sender, FirstChanceExceptionEventArgs thrown) => count += IsCounting.Value ? 1 : 0;
        IsCounting.Value = true;
        AppDomain.CurrentDomain.FirstChanceException += OnThrow;
        try
        {
            await action();
        }
        finally
        {
            AppDomain.CurrentDomain.FirstChanceException -= OnThrow;
        }

        return count;
    }

    private static List<(string Name, double Value)> Gauges(Caller caller)
    {
        var gauges = new List<(string, double)>();
        var factory = caller.Services.GetRequiredService<IMeterFactory>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.IsObservable && (ReferenceEquals(instrument.Meter.Scope, factory) || instrument.Meter.Name == "Polly"))
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<int>((instrument, value, _, _) => gauges.Add((instrument.Name, value)));
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => gauges.Add((instrument.Name, value)));
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) => gauges.Add((instrument.Name, value)));
        listener.Start();
        listener.RecordObservableInstruments();
        return gauges;
    }

    private async Task FailTwiceAsync()
    {
        foreach (var caller in _callers)
        {
            for (var i = 0; i < 2; i++)
            {
                using var response = await caller.Client.GetAsync("/");
                response.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
            }
        }
    }

    private Task<Caller> StandardAsync(Func<HttpContext, Task> answer, Action<HttpStandardResilienceOptions> configure) =>
        AddAsync(Caller.StartAsync(answer, (builder, leaf) =>
            builder.Services.AddHttpClient(Caller.ClientName, client => client.BaseAddress = leaf).AddStandardResilienceHandler(configure)));

    private Task<Caller> ConfiguredStandardAsync(params (string Key, string Value)[] settings) =>
        AddAsync(Caller.StartAsync(Answer(500), (builder, leaf) =>
        {
            builder.Configuration.AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create($"Http:{setting.Key}", (string?)setting.Value)));
            builder.Services.AddHttpClient(Caller.ClientName, client => client.BaseAddress = leaf)
                .AddStandardResilienceHandler(builder.Configuration.GetSection("Http"))
                .Configure(options => options.Retry.ShouldHandle = _ => PredicateResult.False());
        }));

    private Task<Caller> ServiceClientAsync(Func<HttpContext, Task> answer, params (string Key, string Value)[] policy) => AddAsync(Caller.StartAsync(answer, policy));

    private async Task<Caller> AddAsync(Task<Caller> starting)
    {
        var caller = await starting;
        _callers.Add(caller);
        return caller;
    }

    private sealed class OnceStream(byte[] bytes) : MemoryStream(bytes)
    {
        public override bool CanSeek => false;
    }
}
