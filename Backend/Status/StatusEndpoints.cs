using Microsoft.AspNetCore.Http.HttpResults;

namespace Platform.Backend.Status;

/// <summary><c>/api/status</c>.</summary>
internal static class StatusEndpoints
{
    public static void AddStatus(this IHostApplicationBuilder builder) => ServiceProbes.Add(builder);

    public static void MapStatus(this IEndpointRouteBuilder routes)
    {
        const string Summary = "Shows the services that this one talks to, and whether they answer.";
        var group = routes.MapGroup("").WithTags("Status");
        group.MapGet("/api/status/services", GetServices).WithName("GetServiceStatus").WithSummary(Summary);
        group.MapGet("/v1/api/status/services", GetServices).WithName("GetServiceStatusV1").WithSummary($"{Summary} The same as /api/status/services.");
    }

    private static async Task<Ok<ServiceStatus>> GetServices(ServiceProbes probes, TimeProvider time, CancellationToken cancellationToken) =>
        TypedResults.Ok(new ServiceStatus(time.GetUtcNow(), await probes.AskAllAsync(cancellationToken)));

    /// <summary>The services that Backend talks to, by name.</summary>
    /// <param name="Timestamp">When they were asked, UTC.</param>
    /// <param name="Services">What is known of each.</param>
    internal sealed record ServiceStatus(DateTimeOffset Timestamp, IReadOnlyDictionary<string, ServiceState> Services);
}
