using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Platform.TestSupport;

namespace Platform.TemplateRegistry.Tests;

/// <summary>Who may call TemplateRegistry's endpoints. Every new endpoint must be added here.</summary>
public sealed class WhoMayCallTests(RunningRegistry registry) : IClassFixture<RunningRegistry>
{
    private static readonly string[] Anyone = ["GET /alive", "GET /ready", "GET /health", "GET /metrics", "GET /openapi/{documentName}.json"];

    private static readonly string[] Services =
    [
        "GET /templates", "GET /templates/{name}", "GET /templates/{name}/versions/{version}", "PUT /templates/{name}/versions/{version}",
        "POST /templates/{name}/versions/{version}/deprecate", "DELETE /templates/{name}/versions/{version}", "PUT /templates/{name}/usage",
        "GET /templates/{name}/versions/{version}/bundle", "GET /bundles/{digest}",
    ];

    [Fact]
    public void Every_endpoint_is_listed() => EndpointWalk.CallsOf(registry.Endpoints).ShouldBe([.. Anyone, .. Services], ignoreOrder: true);

    [Fact]
    public async Task Only_health_and_OpenAPI_answer_without_the_token()
    {
        foreach (var call in Anyone)
        {
            using var request = Request(call);
            (await registry.Public.SendAsync(request)).StatusCode.ShouldBe(HttpStatusCode.OK, call);
        }

        foreach (var call in Services)
        {
            foreach (var token in (string?[])[null, "", "not-the-token"])
            {
                using var request = Request(call);
                request.Headers.TryAddWithoutValidation("X-Internal-Token", token is null ? [] : [token]);
                using var response = await registry.Public.SendAsync(request);
                response.StatusCode.ShouldBe(HttpStatusCode.Unauthorized, call);
                if (request.Method != HttpMethod.Head)
                    ((string)(await response.Content.ReadFromJsonAsync<JsonObject>())!["detail"]!).ShouldNotContain("aurora");
            }
        }
    }

    private static HttpRequestMessage Request(string call) => EndpointWalk.Request(call, new Dictionary<string, string>
    {
        ["name"] = "aurora",
        ["version"] = "1.0.0",
        ["digest"] = $"sha256:{new string('0', 64)}",
        ["documentName"] = "v1",
    });
}
