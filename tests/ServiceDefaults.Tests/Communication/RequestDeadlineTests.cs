using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class RequestDeadlineTests : IAsyncLifetime
{
    private readonly TaskCompletionSource _cancelled = new();
    private TestApp _app = null!;

    public async ValueTask InitializeAsync() => _app = await DefaultsApp.StartAsync(
        app =>
        {
            app.MapGet("/slow", SlowAsync);
            app.MapGet("/stream", async (HttpContext context) =>
            {
                await Task.WhenAny(Task.Delay(Timeout.Infinite, context.RequestAborted), Task.Delay(600));
                return context.RequestAborted.IsCancellationRequested ? "cancelled" : "still here";
            }).DisableRequestTimeout();
            app.MapGet("/quick", () => "done");
        },
        settings: new() { ["Requests:Timeout"] = "00:00:00.300" });

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task A_request_over_its_time_is_cancelled_and_answered_504()
    {
        using var response = await _app.Client.GetAsync("/slow");
        response.StatusCode.ShouldBe(HttpStatusCode.GatewayTimeout);
        await response.ReadProblemAsync();
        _cancelled.Task.IsCompleted.ShouldBeTrue();
    }

    [Fact]
    public async Task An_endpoint_can_be_exempt()
    {
        (await _app.Client.GetStringAsync("/stream")).ShouldBe("still here");
    }

    [Fact]
    public async Task A_request_in_time_is_left_alone()
    {
        (await _app.Client.GetStringAsync("/quick")).ShouldBe("done");
    }

    [Theory]
    [InlineData(DefaultsApp.Token, HttpStatusCode.GatewayTimeout)]
    [InlineData(null, HttpStatusCode.OK)]
    public async Task Only_a_caller_with_the_token_can_shorten_the_time(string? token, HttpStatusCode expected)
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/", async (CancellationToken cancellationToken) =>
        {
            await Task.Delay(300, cancellationToken);
            return "done";
        }));
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        request.Headers.Add("X-Request-Timeout-Ms", "50");
        if (token is not null)
        {
            request.Headers.Add("X-Internal-Token", token);
        }

        using var response = await app.Client.SendAsync(request);
        response.StatusCode.ShouldBe(expected);
    }

    [Fact]
    public async Task A_wrong_setting_stops_the_service_and_is_named()
    {
        var exception = await Should.ThrowAsync<Exception>(() => DefaultsApp.StartAsync(_ => { }, settings: new() { ["Requests:Timeout"] = "-00:00:01" }));
        exception.Message.ShouldContain("Timeout");
    }

    private async Task<string> SlowAsync(CancellationToken cancellationToken)
    {
        try
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return "never";
        }
        catch (OperationCanceledException)
        {
            _cancelled.SetResult();
            throw;
        }
    }
}
