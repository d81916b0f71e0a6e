using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.TestSupport;

namespace Platform.ResilienceTesting.Tests;

/// <summary>The effect of each fault on an HttpClient.</summary>
public sealed class HttpClientTests : IAsyncLifetime
{
    private static readonly string Body = new('x', 10_000);

    private StubService _service = null!;
    private TcpFaultProxy _proxy = null!;
    private HttpClient _client = null!;

    public async ValueTask InitializeAsync()
    {
        _service = await StubService.StartAsync(app =>
        {
            // Has a Content-Length: in a chunked body the chunk sizes would be counted, too.
            app.MapGet("/", () => Results.Text(Body));
            app.MapPost("/orders", async (HttpRequest request) =>
            {
                using var reader = new StreamReader(request.Body);
                return Results.Text(await reader.ReadToEndAsync(), statusCode: 201);
            });
        });
        _proxy = new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, _service.Port));
        _client = new HttpClient { BaseAddress = new Uri($"http://{_proxy.EndPoint}") };
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _proxy.DisposeAsync();
        await _service.DisposeAsync();
    }

    [Fact]
    public async Task Without_a_fault_the_proxy_has_no_effect() => (await _client.GetStringAsync("/", Cancel)).ShouldBe(Body);

    [Fact]
    public async Task Refuse_affects_pooled_connections_until_it_ends()
    {
        await _client.GetStringAsync("/", Cancel);
        using (_proxy.Faults.Refuse())
        {
            var error = await Should.ThrowAsync<HttpRequestException>(() => _client.GetStringAsync("/", Cancel));
            error.HttpRequestError.ShouldBe(HttpRequestError.ConnectionError);
            error.InnerException.ShouldBeOfType<SocketException>().SocketErrorCode.ShouldBe(SocketError.ConnectionRefused);
        }

        (await _client.GetStringAsync("/", Cancel)).ShouldBe(Body);
    }

    [Fact]
    public async Task Reset_is_a_connection_reset()
    {
        using var reset = _proxy.Faults.Reset();
        var error = await Should.ThrowAsync<HttpRequestException>(() => _client.GetStringAsync("/", Cancel));
        error.GetBaseException().ShouldBeOfType<SocketException>().SocketErrorCode.ShouldBe(SocketError.ConnectionReset);
    }

    [Fact]
    public async Task In_a_black_hole_requests_hang_until_the_client_cancels()
    {
        using var hole = _proxy.Faults.BlackHole();
        using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        var request = _client.GetStringAsync("/", cancellation.Token);
        await Eventually.TrueAsync(() => _proxy.BytesSwallowed > 0);
        request.IsCompleted.ShouldBeFalse();

        await cancellation.CancelAsync();

        await Should.ThrowAsync<OperationCanceledException>(() => request);
        _service.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task Half_close_lets_the_request_arrive_and_ends_the_response_before_its_first_byte()
    {
        using var halfClose = _proxy.Faults.HalfClose();
        var error = await Should.ThrowAsync<HttpRequestException>(() => _client.PostAsync("/orders", new StringContent("tea"), Cancel));
        error.GetBaseException().ShouldBeOfType<HttpIOException>().HttpRequestError.ShouldBe(HttpRequestError.ResponseEnded);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(9_999)]
    public async Task CutBody_delivers_status_and_headers_and_truncates_the_body(int afterBytes)
    {
        using var cut = _proxy.Faults.CutBody(afterBytes);
        using var response = await _client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead, Cancel);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        var received = new MemoryStream();
        await using var body = await response.Content.ReadAsStreamAsync(Cancel);

        var error = await Should.ThrowAsync<HttpIOException>(() => body.CopyToAsync(received, Cancel));

        error.HttpRequestError.ShouldBe(HttpRequestError.ResponseEnded);
        received.Length.ShouldBeLessThanOrEqualTo(afterBytes);
    }

    [Fact]
    public async Task CutBody_does_not_affect_a_body_up_to_the_limit()
    {
        using var cut = _proxy.Faults.CutBody(Body.Length);
        (await _client.GetStringAsync("/", Cancel)).ShouldBe(Body);
        (await _client.GetStringAsync("/", Cancel)).ShouldBe(Body);
        cut.Struck.ShouldBe(0);
    }

    [Fact]
    public async Task A_dropped_reply_is_a_reset_after_the_request_was_processed()
    {
        using (var dropped = _proxy.Faults.DropReply())
        {
            var error = await Should.ThrowAsync<HttpRequestException>(() => _client.PostAsync("/orders", new StringContent("tea"), Cancel));
            error.GetBaseException().ShouldBeOfType<SocketException>().SocketErrorCode.ShouldBe(SocketError.ConnectionReset);
            dropped.Struck.ShouldBe(1);
        }

        _service.Requests.ShouldHaveSingleItem().Text.ShouldBe("tea");
    }

    [Fact]
    public async Task DropReply_lets_100_Continue_pass()
    {
        using var dropped = _proxy.Faults.DropReply();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/orders") { Content = new StringContent("tea") };
        request.Headers.ExpectContinue = true;

        await Should.ThrowAsync<HttpRequestException>(() => _client.SendAsync(request, Cancel));

        _service.Requests.ShouldHaveSingleItem().Text.ShouldBe("tea");
    }

    [Fact]
    public async Task Slices_and_limited_bandwidth_do_not_change_content()
    {
        using var bandwidth = _proxy.Faults.Bandwidth(100_000_000);
        using var slices = _proxy.Faults.Slice(100);
        (await _client.GetStringAsync("/", Cancel)).ShouldBe(Body);
        (await (await _client.PostAsync("/orders", new StringContent(Body), Cancel)).Content.ReadAsStringAsync(Cancel)).ShouldBe(Body);
        slices.Struck.ShouldBe(1);
        bandwidth.Struck.ShouldBe(1);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
