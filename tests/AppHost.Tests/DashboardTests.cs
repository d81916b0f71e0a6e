using System.Net;
using System.Net.Http.Json;
using Aspire.Hosting;
using Aspire.Hosting.Testing;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

/// <summary>The dashboard of the running system: who gets in, and that it is told of every service.</summary>
[Collection(nameof(RunningPlatform))]
public sealed class DashboardTests(RunningPlatform platform) : IAsyncLifetime
{
    private readonly HttpClient _client = new(new SocketsHttpHandler { AllowAutoRedirect = false });

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await platform.App.ResourceNotifications.WaitForResourceHealthyAsync("aspire-dashboard", Cancel);
        _client.BaseAddress = platform.App.GetEndpoint("aspire-dashboard", "http");
    }

    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Only_who_has_the_token_gets_in_and_then_sees_telemetry_of_every_service()
    {
        using (var stranger = await _client.GetAsync("/", Cancel))
        {
            stranger.StatusCode.ShouldBe(HttpStatusCode.Found);
            stranger.Headers.Location!.ToString().ShouldContain("/login");
        }

        using (var login = await _client.GetAsync($"/login?t={RunningPlatform.BrowserToken}", Cancel))
        {
            login.Headers.Location!.ToString().ShouldBe("/");
            login.Headers.Contains("Set-Cookie").ShouldBeTrue();
        }

        using (var home = await _client.GetAsync("/", Cancel))
        {
            home.StatusCode.ShouldBe(HttpStatusCode.OK);
        }

        using (var keyless = await _client.GetAsync("/api/telemetry/resources", Cancel))
        {
            keyless.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        }

        await Eventually.Async(
            async () =>
            {
                var senders = await SendersAsync();
                foreach (var service in RunningPlatform.Services)
                {
                    var sender = senders.SingleOrDefault(s => s.Name == service).ShouldNotBeNull($"{service} has sent nothing");
                    (sender.HasLogs, sender.HasTraces, sender.HasMetrics).ShouldBe((true, true, true), service);
                }
            },
            TimeSpan.FromSeconds(60),
            Cancel);
    }

    private async Task<Sender[]> SendersAsync()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/telemetry/resources");
        request.Headers.Add("x-api-key", RunningPlatform.DashboardApiKey);
        using var response = await _client.SendAsync(request, Cancel);
        response.EnsureSuccessStatusCode();
        return (await response.Content.ReadFromJsonAsync<Sender[]>(Cancel))!;
    }

    private sealed record Sender(string Name, bool HasLogs, bool HasTraces, bool HasMetrics);
}
