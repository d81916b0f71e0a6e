using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Microsoft.Extensions.DependencyInjection;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

/// <summary>The dashboard of the running system: who gets in, and that it is told of every service.</summary>
[Collection(nameof(RunningPlatform))]
public sealed class DashboardTests(RunningPlatform platform) : IAsyncLifetime
{
    private readonly HttpClient _client = new(new SocketsHttpHandler { AllowAutoRedirect = false });
    private readonly HttpClient _backend = platform.App.CreateHttpClient("backend");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await platform.App.ResourceNotifications.WaitForResourceHealthyAsync("aspire-dashboard", Cancel);
        _client.BaseAddress = platform.App.GetEndpoint("aspire-dashboard", "http");
    }

    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        _backend.Dispose();
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

    [Fact]
    public async Task Neither_its_traces_and_logs_nor_the_output_of_a_process_tell_a_secret()
    {
        var model = platform.App.Services.GetRequiredService<DistributedApplicationModel>();
        var secrets = new Dictionary<string, string>();
        foreach (var parameter in model.Resources.OfType<ParameterResource>().Where(parameter => parameter.Secret))
        {
            secrets[parameter.Name] = (await parameter.GetValueAsync(Cancel))!;
        }

        secrets.Keys.Order().ShouldBe(["admin-key", "internal-token", "postgres-password"]);
        secrets.Values.ShouldAllBe(secret => secret.Length >= 8);
        using var made = await platform.Client.Backend.PostAsJsonAsync("/api/keys", new { name = "told", scopes = new[] { "read" } }, Cancel);
        made.StatusCode.ShouldBe(HttpStatusCode.Created);
        var key = (await made.Content.ReadFromJsonAsync<JsonObject>(Cancel))!;
        secrets["new key"] = (string)key["key"]!;
        using var use = new HttpRequestMessage(HttpMethod.Get, "/api/shops") { Headers = { Authorization = new("Bearer", secrets["new key"]) } };
        using var used = await _backend.SendAsync(use, Cancel);
        used.StatusCode.ShouldBe(HttpStatusCode.OK);
        using var revoked = await platform.Client.Backend.DeleteAsync($"/api/keys/{key["id"]}", Cancel);
        revoked.StatusCode.ShouldBe(HttpStatusCode.NoContent);

        var (logs, traces) = await Eventually.Async(
            async () =>
            {
                var told = (Logs: await TelemetryAsync("logs?limit=10000"), Traces: await TelemetryAsync("spans?limit=10000"));
                told.Logs.ShouldContain($"{key["id"]} was revoked");
                told.Traces.ShouldContain($"/api/keys/{key["id"]}");
                return told;
            },
            TimeSpan.FromSeconds(60),
            Cancel);
        foreach (var (name, secret) in secrets)
        {
            logs.ShouldNotContain(secret, customMessage: name);
            traces.ShouldNotContain(secret, customMessage: name);
        }

        var output = platform.App.Services.GetRequiredService<ResourceLoggerService>();
        foreach (var service in RunningPlatform.Services)
        {
            var lines = new List<string>();
            await foreach (var batch in output.GetAllAsync(model.Resources.Single(resource => resource.Name == service)).WithCancellation(Cancel))
            {
                lines.AddRange(batch.Select(line => line.Content));
            }

            lines.ShouldNotBeEmpty(service);
            foreach (var (name, secret) in secrets)
            {
                lines.ShouldNotContain(line => line.Contains(secret), $"{service} tells the {name}");
            }
        }
    }

    private async Task<Sender[]> SendersAsync() => JsonSerializer.Deserialize<Sender[]>(await TelemetryAsync("resources"), JsonSerializerOptions.Web)!;

    private async Task<string> TelemetryAsync(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/api/telemetry/{path}");
        request.Headers.Add("x-api-key", RunningPlatform.DashboardApiKey);
        using var response = await _client.SendAsync(request, Cancel);
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadAsStringAsync(Cancel);
    }

    private sealed record Sender(string Name, bool HasLogs, bool HasTraces, bool HasMetrics);
}
