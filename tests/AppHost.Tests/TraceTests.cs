using System.IO.Compression;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using Aspire.Hosting.Testing;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

/// <summary>What the dashboard is told of one deployment, from the request to the message that it is live.</summary>
[Collection(nameof(RunningPlatform))]
public sealed class TraceTests(RunningPlatform platform) : IDisposable
{
    private readonly HttpClient _dashboard = new() { BaseAddress = platform.App.GetEndpoint("aspire-dashboard", "http"), DefaultRequestHeaders = { { "x-api-key", RunningPlatform.DashboardApiKey } } };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _dashboard.Dispose();

    [Fact]
    public async Task A_deployment_is_one_trace_without_a_gap_and_its_id_is_on_the_log_lines_of_all_three_services()
    {
        // a template that no process has fetched yet, so that the registry has a part in it
        await PublishAsync("traced");
        var shop = PlatformClient.Shop(PlatformClient.NewSlug());
        shop["template"] = new JsonObject { ["name"] = "traced" };
        var deployment = await platform.Client.DeployAsync(await platform.Client.CreateShopAsync(shop));
        await platform.Client.LiveAsync(deployment);

        await Eventually.Async(async () =>
        {
            var run = (await SpansAsync("spans?resource=store-deployer&limit=1000")).Where(span => span.Name == "deployment run").SingleOrDefault(span => span.Attributes.GetValueOrDefault("platform.deployment.id") == deployment);
            run.ShouldNotBeNull();
            var trace = await SpansAsync($"traces/{run.TraceId}");

            var ids = trace.Select(span => span.Id).ToHashSet();
            trace.Where(span => span.Parent is not null && !ids.Contains(span.Parent)).Select(span => $"{span.Service} {span.Name}").ShouldBeEmpty();
            trace.Where(span => span.Parent is null).Select(span => span.Name).ShouldBe(["POST /api/shops/{id:guid}/deployments"]);

            // each caused by the one before
            Chain(trace, trace.Single(span => span.Name == "POST /messages" && span.Service == "backend" && IsLast(span, trace)))
                .ShouldBe(["backend POST /api/shops/{id:guid}/deployments", "store-deployer POST /messages", "store-deployer deployment run", "store-deployer deployment activate", "backend POST /messages"]);
            Chain(trace, trace.First(span => span.Service == "template-registry" && span.Name.Contains("bundle", StringComparison.Ordinal)))
                .ShouldContain("store-deployer deployment fetch");

            var logs = await DashboardAsync($"logs?traceId={run.TraceId}&limit=1000");
            Services(logs, "resourceLogs").Distinct().Order().ShouldBe(RunningPlatform.Services.Order());
        }, TimeSpan.FromSeconds(60), Cancel);
    }

    private async Task PublishAsync(string name)
    {
        using var bundle = new MemoryStream();
        using (var zip = new ZipArchive(bundle, ZipArchiveMode.Create, leaveOpen: true))
        {
            Add("template.json", $$"""
                {
                  "name": "{{name}}", "version": "1.0.0", "title": "Traced", "description": "For one deployment.", "parameters": [],
                  "pages": [{"path": "index.html", "template": "pages/index.liquid"}, {"path": "404.html", "template": "pages/404.liquid"}]
                }
                """);
            Add("pages/index.liquid", "<!doctype html><html lang=\"en\"><head><title>{{shop.name}}</title></head><body><h1>{{shop.name}}</h1></body></html>");
            Add("pages/404.liquid", "<!doctype html><html lang=\"en\"><head><title>Not here</title></head><body><h1>Not here</h1></body></html>");

            void Add(string path, string content)
            {
                using var entry = zip.CreateEntry(path).Open();
                entry.Write(Encoding.UTF8.GetBytes(content));
            }
        }

        using var body = new ByteArrayContent(bundle.ToArray()) { Headers = { ContentType = new("application/zip") } };
        using var response = await platform.Client.Backend.PutAsync($"/api/templates/{name}/versions/1.0.0", body, Cancel);
        response.StatusCode.ShouldBe(HttpStatusCode.Created, await response.Content.ReadAsStringAsync(Cancel));
    }

    /// <summary>From the root to the span, leaving out clients and whatever else only passes on.</summary>
    private static List<string> Chain(IReadOnlyCollection<Span> trace, Span span)
    {
        var chain = new List<string>();
        for (var at = span; at is not null; at = trace.SingleOrDefault(other => other.Id == at.Parent))
        {
            if (at.Name.StartsWith("POST /", StringComparison.Ordinal) || at.Name.StartsWith("GET /", StringComparison.Ordinal) || at.Name.StartsWith("deployment ", StringComparison.Ordinal))
            {
                chain.Insert(0, $"{at.Service} {at.Name}");
            }
        }

        return chain;
    }

    private static bool IsLast(Span span, IEnumerable<Span> trace) => trace.Where(other => other.Name == span.Name && other.Service == span.Service).MaxBy(other => other.Start) == span;

    private async Task<IReadOnlyList<Span>> SpansAsync(string path)
    {
        var answer = await DashboardAsync(path);
        return
        [
            .. from resource in answer["data"]!["resourceSpans"]!.AsArray()
               let service = ServiceOf(resource!)
               from scope in resource!["scopeSpans"]!.AsArray()
               from span in scope!["spans"]!.AsArray()
               select new Span(service, Text(span!["traceId"])!, Text(span["spanId"])!, Text(span["parentSpanId"]), Text(span["name"])!, ulong.Parse(Text(span["startTimeUnixNano"])!, System.Globalization.CultureInfo.InvariantCulture),
                   (span["attributes"] as JsonArray ?? []).ToDictionary(tag => Text(tag!["key"])!, tag => Text(tag!["value"]?["stringValue"]) ?? "")),
        ];
    }

    private async Task<JsonObject> DashboardAsync(string path) => (await _dashboard.GetFromJsonAsync<JsonObject>($"/api/telemetry/{path}", Cancel))!;

    private static IEnumerable<string> Services(JsonObject answer, string kind) => answer["data"]![kind]!.AsArray().Select(resource => ServiceOf(resource!));

    private static string ServiceOf(JsonNode resource) =>
        Text(resource["resource"]!["attributes"]!.AsArray().Single(tag => Text(tag!["key"]) == "service.name")!["value"]!["stringValue"])!;

    private static string? Text(JsonNode? node) => node is JsonValue value && value.ToString() is { Length: > 0 } text ? text : null;

    private sealed record Span(string Service, string TraceId, string Id, string? Parent, string Name, ulong Start, Dictionary<string, string> Attributes);
}
