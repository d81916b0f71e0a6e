using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Correlation;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Communication;

public sealed class ServiceClientTests
{
    [Theory]
    [InlineData("services:template-registry:http:0")]
    [InlineData("TEMPLATE_REGISTRY_URL")]
    public async Task A_client_finds_its_service_and_carries_what_services_show_one_another(string key)
    {
        await using var registry = await StubService.StartAsync(app => app.MapGet("/templates", () => "list"));
        await using var app = await StartAsync(new() { [key] = registry.Address.ToString() });
        using (CorrelationContext.Begin("order-42"))
        {
            (await app.Get<RegistryClient>().Http.GetStringAsync("/templates")).ShouldBe("list");
        }

        var request = registry.Requests.ShouldHaveSingleItem();
        request.Headers["X-Internal-Token"].ShouldBe(DefaultsApp.Token);
        request.Headers["X-Correlation-ID"].ShouldBe("order-42");
        request.Headers["X-Request-Attempt"].ShouldBe("1");
    }

    [Fact]
    public async Task A_read_is_sent_again_and_says_so()
    {
        var calls = 0;
        await using var registry = await StubService.StartAsync(app =>
            app.MapGet("/templates", () => Interlocked.Increment(ref calls) == 1 ? Results.StatusCode(503) : Results.Text("list")));
        await using var app = await StartAsync(new() { ["TEMPLATE_REGISTRY_URL"] = registry.Address.ToString() });
        (await app.Get<RegistryClient>().Http.GetStringAsync("/templates")).ShouldBe("list");
        registry.Requests.Select(request => request.Headers["X-Request-Attempt"]).ShouldBe(["1", "2"]);
    }

    [Fact]
    public async Task A_write_is_not_sent_again_by_itself()
    {
        await using var registry = await StubService.StartAsync(app => app.MapPost("/orders", () => Results.StatusCode(503)));
        await using var app = await StartAsync(new() { ["TEMPLATE_REGISTRY_URL"] = registry.Address.ToString() });
        using var response = await app.Get<RegistryClient>().Http.PostAsync("/orders", null);
        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        registry.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task The_token_goes_to_no_other_host_not_even_by_a_redirect()
    {
        await using var stranger = await StubService.StartAsync(app => app.MapGet("/", () => "stranger"));
        await using var registry = await StubService.StartAsync(app => app.MapGet("/", () => Results.Redirect(stranger.Address.ToString())));
        await using var app = await StartAsync(new() { ["TEMPLATE_REGISTRY_URL"] = registry.Address.ToString() });
        var http = app.Get<RegistryClient>().Http;

        using var redirect = await http.GetAsync("/");
        redirect.StatusCode.ShouldBe(HttpStatusCode.Redirect);
        stranger.Requests.ShouldBeEmpty();

        (await http.GetStringAsync(stranger.Address)).ShouldBe("stranger");
        var request = stranger.Requests.ShouldHaveSingleItem();
        request.Headers.Keys.ShouldNotContain("X-Internal-Token");
        request.Headers.Keys.ShouldNotContain("X-Correlation-ID");
        request.Headers.Keys.ShouldNotContain("X-Request-Attempt");
    }

    [Fact]
    public async Task A_service_that_is_down_degrades_the_health_report_and_no_more()
    {
        await using var registry = await StubService.StartAsync(app => app.MapGet("/ready", () => "ready"));
        await using var app = await StartAsync(new() { ["TEMPLATE_REGISTRY_URL"] = registry.Address.ToString() });
        (await app.Client.GetStringAsync("/health")).ShouldContain("\"template-registry\":\"connected\"");
        await registry.StopAsync();
        using var response = await app.Client.GetAsync("/health");
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await response.Content.ReadAsStringAsync()).ShouldContain("\"status\":\"degraded\"");
    }

    private static Task<TestApp> StartAsync(Dictionary<string, string?> settings) => DefaultsApp.StartAsync(
        _ => { }, builder => builder.AddServiceClient<RegistryClient>("template-registry"), settings);

    internal sealed class RegistryClient(HttpClient http)
    {
        public HttpClient Http { get; } = http;
    }
}
