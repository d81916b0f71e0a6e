using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Platform.Backend.Tests.Console;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Owners;

/// <summary>An authenticated caller continues its own trace through Backend; nobody else can.</summary>
public sealed class CallerTraceTests(BackendHost backend) : IClassFixture<BackendHost>
{
    private readonly string _trace = ActivityTraceId.CreateRandom().ToHexString();
    private readonly string _span = ActivitySpanId.CreateRandom().ToHexString();

    [Fact]
    public async Task A_trace_is_continued_for_a_caller_with_a_key_and_on_to_the_services_behind()
    {
        // a new key, so that it has to be looked up in the database
        using var client = backend.Connect((string)(await backend.MakeKeyAsync("read"))["key"]!);

        var span = await CallAsync(client, "/api/templates", HttpStatusCode.OK);

        span.TraceId.ToHexString().ShouldBe(_trace);
        span.ParentSpanId.ToHexString().ShouldBe(_span);
        span.Links.ShouldBeEmpty();
        backend.Registry.Requests.ShouldContain(request => request.Path == "/templates" && request.Headers.GetValueOrDefault("traceparent", "").StartsWith($"00-{_trace}-", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_trace_is_continued_for_a_caller_with_a_session()
    {
        using var browser = new ConsoleBrowser(backend.Client.BaseAddress!);
        await browser.OpenAsync("/");
        using var client = backend.Connect(key: null);
        client.DefaultRequestHeaders.Add("Cookie", browser.Cookies.GetCookieHeader(backend.Client.BaseAddress!));

        var span = await CallAsync(client, "/api/shops", HttpStatusCode.OK);

        span.TraceId.ToHexString().ShouldBe(_trace);
        span.Links.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(null)]
    [InlineData("guessed")]
    [InlineData("revoked")]
    public async Task The_trace_of_a_caller_without_a_valid_key_is_only_linked(string? key)
    {
        if (key == "revoked")
        {
            var made = await backend.MakeKeyAsync("read");
            (await backend.Client.DeleteAsync($"/api/keys/{made.Id()}")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
            key = (string)made["key"]!;
        }

        using var client = backend.Connect(key);

        var span = await CallAsync(client, "/api/shops", HttpStatusCode.Unauthorized);

        span.TraceId.ToHexString().ShouldNotBe(_trace);
        span.ParentId.ShouldBeNull();
        span.Links.ShouldHaveSingleItem().Context.TraceId.ToHexString().ShouldBe(_trace);
    }

    [Fact]
    public async Task An_open_endpoint_does_not_wait_for_a_key_to_be_verified_and_links()
    {
        var span = await CallAsync(backend.Client, "/openapi/v1.json", HttpStatusCode.OK);

        span.TraceId.ToHexString().ShouldNotBe(_trace);
        span.Links.ShouldHaveSingleItem().Context.TraceId.ToHexString().ShouldBe(_trace);
    }

    /// <summary>The server's span of one call that carries a sampled <c>traceparent</c>.</summary>
    private async Task<Activity> CallAsync(HttpClient client, string path, HttpStatusCode expected)
    {
        var correlationId = Guid.NewGuid().ToString("n");
        ConcurrentQueue<Activity> spans = new();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Microsoft.AspNetCore",
            Sample = (ref _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activity =>
            {
                if (activity.Recorded && (string?)activity.GetTagItem("correlation.id") == correlationId)
                    spans.Enqueue(activity);
            },
        };
        ActivitySource.AddActivityListener(listener);
        using var request = new HttpRequestMessage(HttpMethod.Get, path)
        {
            Headers = { { "traceparent", $"00-{_trace}-{_span}-01" }, { "X-Correlation-ID", correlationId } },
        };
        using var response = await client.SendAsync(request);
        response.StatusCode.ShouldBe(expected);
        await Eventually.TrueAsync(() => !spans.IsEmpty);
        return spans.ShouldHaveSingleItem();
    }
}
