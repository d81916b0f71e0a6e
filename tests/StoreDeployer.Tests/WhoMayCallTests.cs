using System.Net;
using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests;

/// <summary>Who may call StoreDeployer's endpoints. Every new endpoint must be added here.</summary>
public sealed class WhoMayCallTests(TestDatabase database) : IClassFixture<TestDatabase>, IAsyncLifetime
{
    private static readonly string[] Anyone =
        ["GET /alive", "GET /ready", "GET /health", "GET /metrics", "GET /openapi/{documentName}.json", "GET /stores/{slug}/{**path}"];

    private static readonly string[] Services =
    [
        "POST /messages", "GET /backlog", "GET /dead-letters", "POST /dead-letters/redrive", "POST /dead-letters/{id:guid}/redrive", "POST /dead-letters/{id:guid}/discard",
        "GET /deployments", "GET /deployments/{id:guid}", "GET /deployments/{id:guid}/status",
    ];

    private Neighbours _neighbours = null!;
    private DeployerHost _deployer = null!;

    public async ValueTask InitializeAsync()
    {
        _neighbours = await Neighbours.StartAsync();
        _deployer = new DeployerHost(database.ConnectionString, _neighbours);
        await _deployer.ReadyAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _deployer.DisposeAsync();
        await _neighbours.DisposeAsync();
    }

    [Fact]
    public async Task Every_endpoint_is_listed_and_only_health_OpenAPI_and_live_stores_answer_without_the_token()
    {
        EndpointWalk.CallsOf(_deployer.Services).ShouldBe([.. Anyone, .. Services], ignoreOrder: true);

        foreach (var call in Anyone)
        {
            using var request = Request(call);
            using var response = await _deployer.Http.SendAsync(request);
            response.StatusCode.ShouldBe(call.Contains("/stores/", StringComparison.Ordinal) ? HttpStatusCode.NotFound : HttpStatusCode.OK, call);
        }

        foreach (var call in Services)
        {
            foreach (var token in (string?[])[null, "", "not-the-token"])
            {
                using var request = Request(call);
                request.Headers.TryAddWithoutValidation("X-Internal-Token", token is null ? [] : [token]);
                using var response = await _deployer.Http.SendAsync(request);
                response.StatusCode.ShouldBe(HttpStatusCode.Unauthorized, call);
            }
        }
    }

    private static HttpRequestMessage Request(string call) => EndpointWalk.Request(call, new Dictionary<string, string>
    {
        ["id"] = Guid.NewGuid().ToString(),
        ["slug"] = "no-such-store",
        ["path"] = "",
        ["documentName"] = "v1",
    });
}
