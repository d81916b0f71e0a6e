using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Http.Json;
using System.Security.Claims;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Security;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class AdmissionTests : IAsyncDisposable
{
    private readonly ObservableTimeProvider _time = new();
    private readonly ConcurrentQueue<string> _entered = new();
    private readonly TaskCompletionSource _finish = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _endOfStream = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Task<HttpResponseMessage>> _held = [];
    private readonly Lines _lines = new();
    private TestApp _app = null!;

    private PriorityConcurrencyLimiter Places => _app.Get<PriorityConcurrencyLimiter>();

    public async ValueTask DisposeAsync()
    {
        _finish.TrySetResult();
        _endOfStream.TrySetResult();
        foreach (var response in await Task.WhenAll(_held))
        {
            response.Dispose();
        }

        await _app.DisposeAsync();
    }

    [Fact]
    public async Task Over_its_rate_a_client_gets_429_and_when_there_will_be_a_token_again()
    {
        await StartAsync(("RatePerSecond", "0.25"), ("Burst", "2"));
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.OK);

        using var refused = await _app.Client.GetAsync("/");
        refused.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        refused.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(4));
        (await refused.ReadProblemAsync()).GetProperty("title").GetString().ShouldBe("Too Many Requests");

        _time.Advance(TimeSpan.FromSeconds(2.5));
        using var soon = await _app.Client.GetAsync("/");
        soon.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        soon.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(2));

        _time.Advance(TimeSpan.FromSeconds(1.5));
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.TooManyRequests);

        // a quiet time fills the bucket, and no more than that
        _time.Advance(TimeSpan.FromHours(1));
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.TooManyRequests);
    }

    [Theory]
    [InlineData("From", "203.0.113.1", "203.0.113.2", false)]
    [InlineData("From", "203.0.113.1", "::ffff:203.0.113.1", true)]
    [InlineData("From", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true)]
    [InlineData("From", "2001:db8:0:1::1", "2001:db8:0:2::1", false)]
    [InlineData("User", "ada", "ada", true)]
    [InlineData("User", "ada", "grace", false)]
    [InlineData("X-Forwarded-For", "203.0.113.1", "203.0.113.2", true)]
    [InlineData("Forwarded", "for=203.0.113.1", "for=203.0.113.2", true)]
    public async Task A_client_is_its_name_or_the_address_of_its_connection(string header, string one, string other, bool same)
    {
        await StartAsync(("RatePerSecond", "0.01"), ("Burst", "1"));
        (await StatusAsync("/", header: (header, one))).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/", header: (header, one))).ShouldBe(HttpStatusCode.TooManyRequests);
        (await StatusAsync("/", header: (header, other))).ShouldBe(same ? HttpStatusCode.TooManyRequests : HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_callers_name_counts_and_not_where_it_calls_from()
    {
        await StartAsync(("RatePerSecond", "0.01"), ("Burst", "1"));
        (await StatusAsync("/", header: ("User", "ada"))).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/", header: ("User", "127.0.0.1"))).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/", header: ("User", "ada"))).ShouldBe(HttpStatusCode.TooManyRequests);
    }

    [Fact]
    public async Task Internal_callers_and_probes_are_always_let_in()
    {
        await StartAsync(("RatePerSecond", "0.01"), ("Burst", "1"), ("Concurrency", "1"), ("Queue", "0"));
        await HoldAsync(HttpMethod.Get);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.TooManyRequests);
        foreach (var probe in (string[])["/alive", "/ready", "/health"])
        {
            (await StatusAsync(probe)).ShouldBe(HttpStatusCode.OK);
        }

        (await StatusAsync("/", header: (InternalTokens.HeaderName, DefaultsApp.Token))).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/", header: (InternalTokens.HeaderName, "guess"))).ShouldBe(HttpStatusCode.TooManyRequests);
        (await StatusAsync("/internal", header: (InternalTokens.HeaderName, "guess"))).ShouldBe(HttpStatusCode.TooManyRequests);
    }

    [Fact]
    public async Task Without_a_place_a_request_is_refused_at_once()
    {
        await StartAsync(("Concurrency", "1"), ("Queue", "0"));
        await HoldAsync(HttpMethod.Get);
        using var refused = await _app.Client.PostAsync("/hold", DefaultsApp.Json("{ not json"));
        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        refused.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
        refused.Headers.Contains("X-Should-Retry").ShouldBeFalse();
        await refused.ReadProblemAsync();

        await ReleaseAsync();
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_deployment_gets_the_place_that_reads_and_other_changes_are_refused()
    {
        await StartAsync(("Concurrency", "10"), ("Queue", "0"));
        for (var reads = 0; reads < 8; reads++)
        {
            await HoldAsync(HttpMethod.Get);
        }

        (await StatusAsync("/")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        await HoldAsync(HttpMethod.Put);
        (await StatusAsync("/hold", HttpMethod.Put)).ShouldBe(HttpStatusCode.ServiceUnavailable);
        await HoldAsync(HttpMethod.Post);
        (await StatusAsync("/hold", HttpMethod.Post)).ShouldBe(HttpStatusCode.ServiceUnavailable);
        Places.Taken.ShouldBe(10);
    }

    [Fact]
    public async Task A_place_that_becomes_free_goes_to_the_most_important_and_then_to_the_first()
    {
        await StartAsync(("Concurrency", "1"), ("Queue", "10"));
        await HoldAsync(HttpMethod.Get);
        await WaitInQueueAsync("/note/read-1", HttpMethod.Get);
        await WaitInQueueAsync("/note/read-2", HttpMethod.Get);
        await WaitInQueueAsync("/note/write", HttpMethod.Put);
        await WaitInQueueAsync("/note/deployment-1", HttpMethod.Post);
        await WaitInQueueAsync("/note/deployment-2", HttpMethod.Post);

        await ReleaseAsync();
        _entered.ShouldBe(["GET", "deployment-1", "deployment-2", "write", "read-1", "read-2"]);
    }

    [Fact]
    public async Task A_full_queue_drops_the_newest_of_the_least_important_requests()
    {
        await StartAsync(("Concurrency", "1"), ("Queue", "2"));
        await HoldAsync(HttpMethod.Get);
        var first = await WaitInQueueAsync("/note/read-1", HttpMethod.Get);
        var second = await WaitInQueueAsync("/note/read-2", HttpMethod.Get);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.ServiceUnavailable);

        var deployment = SendAsync("/note/deployment", HttpMethod.Post);
        _held.Add(deployment);
        (await second).StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        first.IsCompleted.ShouldBeFalse();
        var change = SendAsync("/note/write", HttpMethod.Put);
        _held.Add(change);
        (await first).StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        (await StatusAsync("/note/write", HttpMethod.Put)).ShouldBe(HttpStatusCode.ServiceUnavailable);

        await ReleaseAsync();
        (await deployment).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await change).StatusCode.ShouldBe(HttpStatusCode.OK);
        _entered.ShouldBe(["GET", "deployment", "write"]);
    }

    [Theory]
    [InlineData("00:00:30", 1000)]
    [InlineData("00:00:00.300", 300)]
    public async Task A_request_waits_in_the_queue_for_at_most_a_second_and_its_own_timeout(string timeout, int milliseconds)
    {
        await StartWithAsync(new() { ["Requests:Timeout"] = timeout, ["Admission:Concurrency"] = "1" });
        await HoldAsync(HttpMethod.Post, "/untimed");
        var waiting = await WaitInQueueAsync("/", HttpMethod.Get);
        await _time.TimerAsync(TimeSpan.FromMilliseconds(milliseconds));

        _time.Advance(TimeSpan.FromMilliseconds(milliseconds - 1));
        waiting.IsCompleted.ShouldBeFalse();
        Places.Waiting.ShouldBe(1);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        var refused = await waiting;
        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        refused.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
        Places.Waiting.ShouldBe(0);
    }

    [Fact]
    public async Task A_client_that_hangs_up_leaves_the_queue()
    {
        await StartAsync(("Concurrency", "1"), ("Queue", "1"));
        await HoldAsync(HttpMethod.Get);
        using var hangUp = new CancellationTokenSource();
        var gone = _app.Client.GetAsync("/note/gone", hangUp.Token);
        await Eventually.TrueAsync(() => Places.Waiting == 1);
        await hangUp.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => gone);
        await Eventually.TrueAsync(() => Places.Waiting == 0);

        // its place in the queue can be had again, and the place it waited for goes to someone who is still there
        await WaitInQueueAsync("/note/here", HttpMethod.Get);
        await ReleaseAsync();
        _entered.ShouldBe(["GET", "here"]);
    }

    [Fact]
    public async Task A_stream_gives_its_place_back_with_its_headers()
    {
        await StartAsync(("Concurrency", "1"), ("Queue", "0"), ("RatePerSecond", "0.01"), ("Burst", "2"));
        using var stream = await _app.Client.GetAsync("/stream", HttpCompletionOption.ResponseHeadersRead);
        stream.StatusCode.ShouldBe(HttpStatusCode.OK);
        Places.Taken.ShouldBe(0);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.OK);
        (await StatusAsync("/stream")).ShouldBe(HttpStatusCode.TooManyRequests);

        _endOfStream.SetResult();
        (await stream.Content.ReadAsStringAsync()).ShouldBe("beginend");
        await Eventually.TrueAsync(() => Places.Taken == 0);
    }

    [Fact]
    public async Task A_request_that_fails_gives_its_place_back()
    {
        await StartAsync(("Concurrency", "1"), ("Queue", "0"));
        (await StatusAsync("/broken")).ShouldBe(HttpStatusCode.InternalServerError);
        (await StatusAsync("/nowhere")).ShouldBe(HttpStatusCode.NotFound);
        await Eventually.TrueAsync(() => Places.Taken == 0);
    }

    [Theory]
    [InlineData("RatePerSecond", "0", "0.01")]
    [InlineData("RatePerSecond", "1000001", "1000000")]
    [InlineData("Burst", "0", "1")]
    [InlineData("Concurrency", "0", "1")]
    [InlineData("Queue", "-1", "0")]
    [InlineData("QueueTimeout", "00:01:00", "00:00:30")]
    public async Task A_wrong_setting_stops_the_service_and_is_named_with_its_range(string key, string value, string limit)
    {
        var exception = await Should.ThrowAsync<Exception>(() => StartAsync((key, value)));
        exception.Message.ShouldContain($"Admission:{key} must be between");
        exception.Message.ShouldContain(limit);
        await StartAsync();
    }

    [Fact]
    public async Task Refusals_places_and_the_queue_are_counted()
    {
        await StartAsync(("Concurrency", "1"), ("Queue", "1"), ("RatePerSecond", "0.01"), ("Burst", "4"));
        using var metrics = new Metrics(_app.Get<IMeterFactory>());
        await HoldAsync(HttpMethod.Get);
        await WaitInQueueAsync("/", HttpMethod.Post);
        metrics.Read("in_flight").ShouldBe(1);
        metrics.Read("queue").ShouldBe(1);

        (await StatusAsync("/")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        (await StatusAsync("/broken")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        (await StatusAsync("/hold", HttpMethod.Post)).ShouldBe(HttpStatusCode.TooManyRequests);
        metrics.Read("rejections concurrency read").ShouldBe(2);
        metrics.Read("rejections rate deployment").ShouldBe(1);

        await ReleaseAsync();
        metrics.Read("in_flight").ShouldBe(0);
        metrics.Read("queue").ShouldBe(0);
    }

    [Fact]
    public async Task A_flood_of_refusals_is_one_line_a_second_for_each_reason()
    {
        await StartAsync(("RatePerSecond", "0.01"), ("Burst", "3"), ("Concurrency", "1"), ("Queue", "0"));
        await HoldAsync(HttpMethod.Get);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.ServiceUnavailable);
        for (var refusals = 0; refusals < 5; refusals++)
        {
            (await StatusAsync("/")).ShouldBe(HttpStatusCode.TooManyRequests);
        }

        _lines.Refusals.Select(line => line.Level).ShouldBe([LogLevel.Warning, LogLevel.Warning]);
        _lines.Refusals[0].Text.ShouldContain("concurrency");
        _lines.Refusals[1].Text.ShouldContain("rate");
        _lines.Refusals.ShouldAllBe(line => line.Text.StartsWith("event=resilience "));

        _time.Advance(TimeSpan.FromSeconds(1));
        (await StatusAsync("/")).ShouldBe(HttpStatusCode.TooManyRequests);
        _lines.Refusals.Count.ShouldBe(3);
        _lines.Refusals[2].Text.ShouldContain("5 requests");
    }

    [Fact]
    public async Task Priorities_leave_the_API_description_as_it_is()
    {
        await StartAsync();
        var document = await _app.Client.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        foreach (var (path, method) in ((string, string)[])[("/hold", "get"), ("/hold", "post"), ("/stream", "get")])
        {
            document.GetProperty("paths").GetProperty(path).GetProperty(method).GetProperty("responses").EnumerateObject()
                .Select(response => response.Name).ShouldBe(["200", "503"], ignoreOrder: true);
        }
    }

    private Task StartAsync(params (string Key, string Value)[] settings) =>
        StartWithAsync(settings.ToDictionary(setting => $"Admission:{setting.Key}", setting => (string?)setting.Value));

    private async Task StartWithAsync(Dictionary<string, string?> settings) => _app = await DefaultsApp.StartAsync(
        app =>
        {
            app.MapMethods("/", ["GET", "POST"], () => "done");
            app.MapGet("/internal", () => "done").RequireInternalToken();
            app.MapGet("/broken", string () => throw new InvalidOperationException("broken"));
            app.MapGet("/hold", HoldPlaceAsync);
            app.MapPut("/hold", HoldPlaceAsync);
            app.MapPost("/hold", HoldPlaceAsync).WithPriority(RequestPriority.Deployment);
            app.MapPost("/untimed", HoldPlaceAsync).DisableRequestTimeout();
            app.MapMethods("/note/{name}", ["GET", "PUT"], Note);
            app.MapPost("/note/{name}", Note).WithPriority(RequestPriority.Deployment);
            app.MapGet("/stream", async Task (HttpResponse response) =>
            {
                await response.WriteAsync("begin");
                await _endOfStream.Task;
                await response.WriteAsync("end");
            }).DisableRequestTimeout().WithStreamingResponse();
        },
        builder =>
        {
            builder.Services.AddSingleton<TimeProvider>(_time);
            builder.Services.AddSingleton<IStartupFilter, Callers>();
            builder.Logging.AddProvider(_lines);
        },
        settings);

    private async Task<string> HoldPlaceAsync(HttpRequest request)
    {
        _entered.Enqueue(request.Method);
        await _finish.Task;
        return "held";
    }

    private void Note(string name) => _entered.Enqueue(name);

    /// <summary>Sends a request that keeps its place, and waits until it has it.</summary>
    private async Task HoldAsync(HttpMethod method, string path = "/hold")
    {
        var before = _entered.Count;
        _held.Add(SendAsync(path, method));
        await Eventually.TrueAsync(() => _entered.Count == before + 1);
    }

    private async Task<Task<HttpResponseMessage>> WaitInQueueAsync(string path, HttpMethod method)
    {
        var before = Places.Waiting;
        var waiting = SendAsync(path, method);
        _held.Add(waiting);
        await Eventually.TrueAsync(() => Places.Waiting == before + 1);
        return waiting;
    }

    private async Task ReleaseAsync()
    {
        _finish.SetResult();
        await Task.WhenAll(_held);
        // an answer may arrive before its request is at its end
        await Eventually.TrueAsync(() => Places.Taken == 0);
    }

    private async Task<HttpResponseMessage> SendAsync(string path, HttpMethod method, (string Name, string Value)? header = null)
    {
        using var request = new HttpRequestMessage(method, path);
        if (header is var (name, value))
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return await _app.Client.SendAsync(request);
    }

    private async Task<HttpStatusCode> StatusAsync(string path, HttpMethod? method = null, (string Name, string Value)? header = null)
    {
        using var response = await SendAsync(path, method ?? HttpMethod.Get, header);
        return response.StatusCode;
    }

    /// <summary>Stands for other machines and for authentication: <c>From</c> is the connection's address, <c>User</c> who was authenticated.</summary>
    private sealed class Callers : IStartupFilter
    {
        public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
        {
            app.Use((context, following) =>
            {
                if (context.Request.Headers["From"] is [{ } address])
                {
                    context.Connection.RemoteIpAddress = IPAddress.Parse(address);
                }

                if (context.Request.Headers["User"] is [{ } name])
                {
                    context.User = new(new ClaimsIdentity([new(ClaimTypes.NameIdentifier, name)], "test"));
                }

                return following(context);
            });
            next(app);
        };
    }

    private sealed class Lines : ILoggerProvider, ILogger
    {
        private readonly ConcurrentQueue<(LogLevel Level, string Text)> _refusals = new();

        public IReadOnlyList<(LogLevel Level, string Text)> Refusals => [.. _refusals];

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (formatter(state, exception) is { } text && text.Contains("Rejected", StringComparison.Ordinal))
            {
                _refusals.Enqueue((logLevel, text));
            }
        }

        public void Dispose()
        {
        }
    }

    private sealed class Metrics : IDisposable
    {
        private const string Prefix = "platform.communication.admission.";

        private readonly MeterListener _listener = new();
        private readonly ConcurrentDictionary<string, long> _values = new();

        public Metrics(IMeterFactory factory)
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "platform.communication" && ReferenceEquals(instrument.Meter.Scope, factory))
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            };
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
                _values.AddOrUpdate(string.Join(' ', [instrument.Name[Prefix.Length..], .. tags.ToArray().Select(tag => tag.Value)]), value, (_, before) => before + value));
            _listener.SetMeasurementEventCallback<int>((instrument, value, _, _) => _values[instrument.Name[Prefix.Length..]] = value);
            _listener.Start();
        }

        public long Read(string name)
        {
            _listener.RecordObservableInstruments();
            return _values.GetValueOrDefault(name);
        }

        public void Dispose() => _listener.Dispose();
    }
}
