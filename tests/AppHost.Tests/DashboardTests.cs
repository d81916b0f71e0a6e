using System.Net;
using System.Net.Http.Json;
using Aspire.Hosting;
using Aspire.Hosting.Testing;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

/// <summary>The dashboard of the running system: who gets in, and that it is told of every service.</summary>
public sealed class DashboardTests : IAsyncLifetime
{
    private const string BrowserToken = "the-browser-token";
    private const string ApiKey = "the-api-key";

    private readonly DataDirectory _data = new();
    private readonly HttpClient _client = new(new SocketsHttpHandler { AllowAutoRedirect = false });
    private DistributedApplication? _app;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        var builder = await DistributedApplicationTestingBuilder.CreateAsync<Projects.AppHost>(
            [
                $"--DataDirectory={_data.Path}", "--Database=local", "--ASPIRE_ALLOW_UNSECURED_TRANSPORT=true",
                // the launch profile's is for the one platform that a person runs
                $"--ASPIRE_RESOURCE_SERVICE_ENDPOINT_URL=http://localhost:{FreePort.Next()}",
                $"--ASPIRE_DASHBOARD_FRONTEND_BROWSERTOKEN={BrowserToken}", $"--AppHost:DashboardApiKey={ApiKey}",
            ],
            (options, _) => options.DisableDashboard = false,
            Cancel);
        _app = await builder.BuildAsync(Cancel);
        await _app.StartAsync(Cancel);
        await _app.ResourceNotifications.WaitForResourceHealthyAsync("aspire-dashboard", Cancel);
        _client.BaseAddress = _app.GetEndpoint("aspire-dashboard", "http");
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        if (_app is not null)
            await _app.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Only_who_has_the_token_gets_in_and_then_sees_telemetry_of_every_service()
    {
        using (var stranger = await _client.GetAsync("/", Cancel))
        {
            stranger.StatusCode.ShouldBe(HttpStatusCode.Found);
            stranger.Headers.Location!.ToString().ShouldContain("/login");
        }

        using (var login = await _client.GetAsync($"/login?t={BrowserToken}", Cancel))
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
        request.Headers.Add("x-api-key", ApiKey);
        using var response = await _client.SendAsync(request, Cancel);
        response.EnsureSuccessStatusCode();
        return (await response.Content.ReadFromJsonAsync<Sender[]>(Cancel))!;
    }

    private sealed record Sender(string Name, bool HasLogs, bool HasTraces, bool HasMetrics);
}
