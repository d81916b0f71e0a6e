using System.Net;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Observability;

public sealed partial class MetricsTests
{
    [Fact]
    public async Task Prometheus_gets_requests_by_route_and_not_by_address()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/shops/{id}", (Guid id) => TypedResults.NotFound()));
        var id = Guid.NewGuid();
        using (await app.Client.GetAsync($"/shops/{id}"))
        {
        }

        var (contentType, text) = await ScrapeAsync(app);

        contentType.ShouldBe("text/plain");
        text.ShouldMatch("""http_server_request_duration_seconds_count\{[^}]*http_response_status_code="404",http_route="/shops/\{id\}"[^\n]*\} 1\n""");
        text.ShouldNotContain(id.ToString());
    }

    [Fact]
    public async Task Probes_and_scrapes_are_not_measured()
    {
        await using var app = await DefaultsApp.StartAsync(app => app.MapGet("/", () => "x"));
        foreach (var path in (string[])["/alive", "/ready", "/health", "/metrics", "/"])
        {
            using var response = await app.Client.GetAsync(path);
            response.StatusCode.ShouldBe(HttpStatusCode.OK, path);
        }

        var (_, text) = await ScrapeAsync(app);

        Requests().Matches(text).Select(match => match.Groups["route"].Value).ShouldBe(["/"]);
    }

    [Fact]
    public async Task Two_services_in_one_process_tell_of_themselves_only()
    {
        await using var one = await DefaultsApp.StartAsync(app => app.MapGet("/one", () => "x"));
        await using var other = await DefaultsApp.StartAsync(app => app.MapGet("/other", () => "x"));
        using var asked = await one.Client.GetAsync("/one");
        using var askedToo = await other.Client.GetAsync("/other");

        var (_, text) = await ScrapeAsync(one);

        Requests().Matches(text).Select(match => match.Groups["route"].Value).ShouldBe(["/one"]);
    }

    // the answer to a request is there before it is measured
    private static async Task<(string? ContentType, string Text)> ScrapeAsync(TestApp app) => await Eventually.Async(async () =>
    {
        using var response = await app.Client.GetAsync("/metrics");
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        var text = await response.Content.ReadAsStringAsync();
        text.ShouldContain("http_server_request_duration_seconds_count");
        return (response.Content.Headers.ContentType?.MediaType, text);
    });

    [GeneratedRegex("""http_server_request_duration_seconds_count\{[^}]*http_route="(?<route>[^"]*)""", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Requests();
}
