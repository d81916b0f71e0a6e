using System.Net;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Platform.ServiceDefaults.Communication;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Deployments;

public sealed class DeploymentPriorityTests(BackendHost backend, PostgresServer server) : IClassFixture<BackendHost>
{
    [Fact]
    public void What_accepts_deployments_is_let_in_before_everything_else()
    {
        var first = backend.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(endpoint => endpoint.Metadata.GetMetadata<RequestPriorityMetadata>()?.Priority == RequestPriority.Deployment)
            .Select(endpoint => $"{endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()!.HttpMethods.Single()} {endpoint.RoutePattern.RawText!.Replace(":guid", "", StringComparison.Ordinal)}");
        first.ShouldBe(
            [
                "POST /api/shops/{id}/deployments", "POST /api/shops/{id}/rollback", "POST /api/deployments/{id}/cancel", "POST /api/deployments/{id}/retry",
                "POST /shops/{id}/deploy", "POST /shops/{id}/rollback",
                "POST /shops/{id}/deployments/{deploymentId}/cancel", "POST /shops/{id}/deployments/{deploymentId}/retry",
            ],
            ignoreOrder: true);
    }

    [Fact]
    public async Task Who_follows_a_deployment_keeps_nobody_out()
    {
        await using var host = new BackendHost(server);
        host.Set("Admission:Concurrency", "1");
        await host.InitializeAsync();
        var deployment = await host.DeployAsync(await host.CreateShopAsync());

        using var followed = await host.Client.GetAsync($"/api/deployments/{deployment.Id()}/events", HttpCompletionOption.ResponseHeadersRead);
        followed.StatusCode.ShouldBe(HttpStatusCode.OK);
        using var response = await host.Client.GetAsync($"/api/deployments/{deployment.Id()}");
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
    }
}
