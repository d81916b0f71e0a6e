using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class RequestDeadlineTests : IAsyncLifetime
{
    private static readonly TimeSpan Default = TimeSpan.FromSeconds(30);

    private readonly ObservableTimeProvider _time = new();
    private readonly TaskCompletionSource _entered = new();
    private readonly TaskCompletionSource _finish = new();
    private TestApp _app = null!;

    public async ValueTask InitializeAsync() => _app = await DefaultsApp.StartAsync(
        app =>
        {
            app.MapGet("/", WorkAsync);
            app.MapGet("/untimed", WorkAsync).DisableRequestTimeout();
        },
        builder => builder.Services.AddSingleton<TimeProvider>(_time));

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task A_request_over_its_time_is_cancelled_and_answered_504()
    {
        var asking = _app.Client.GetAsync("/");
        await _entered.Task;

        _time.Advance(Default - TimeSpan.FromTicks(1));
        asking.IsCompleted.ShouldBeFalse();
        _time.Advance(TimeSpan.FromTicks(1));

        using var response = await asking;
        response.StatusCode.ShouldBe(HttpStatusCode.GatewayTimeout);
        await response.ReadProblemAsync();
    }

    [Fact]
    public async Task An_endpoint_without_a_request_timeout_is_not_cancelled()
    {
        var asking = _app.Client.GetStringAsync("/untimed");
        await _entered.Task;

        _time.Advance(TimeSpan.FromHours(1));
        _finish.SetResult();

        (await asking).ShouldBe("done");
    }

    [Fact]
    public async Task A_request_in_time_is_left_alone()
    {
        var asking = _app.Client.GetStringAsync("/");
        await _entered.Task;

        _time.Advance(Default - TimeSpan.FromTicks(1));
        _finish.SetResult();

        (await asking).ShouldBe("done");
    }

    [Theory]
    [InlineData(DefaultsApp.Token, HttpStatusCode.GatewayTimeout)]
    [InlineData(null, HttpStatusCode.OK)]
    public async Task Only_a_caller_with_the_token_can_shorten_the_time(string? token, HttpStatusCode expected)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        request.Headers.Add("X-Request-Timeout-Ms", "50");
        if (token is not null)
        {
            request.Headers.Add("X-Internal-Token", token);
        }

        var asking = _app.Client.SendAsync(request);
        await _entered.Task;
        _time.Advance(TimeSpan.FromMilliseconds(50));
        _finish.SetResult();

        using var response = await asking;
        response.StatusCode.ShouldBe(expected);
    }

    [Fact]
    public async Task An_invalid_timeout_stops_the_service_and_is_named()
    {
        var exception = await Should.ThrowAsync<Exception>(() => DefaultsApp.StartAsync(_ => { }, settings: new() { ["Requests:Timeout"] = "-00:00:01" }));
        exception.Message.ShouldContain("Timeout");
    }

    // Cancellation wins over the signal to finish, as it comes first in every test.
    private async Task<string> WorkAsync(CancellationToken cancellationToken)
    {
        _entered.SetResult();
        await _finish.Task.WaitAsync(cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        return "done";
    }
}
