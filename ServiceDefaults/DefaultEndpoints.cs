using Microsoft.AspNetCore.Http.HttpResults;
using OpenTelemetry.Metrics;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Health;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults;

/// <summary>Maps <c>/alive</c>, <c>/ready</c>, <c>/health</c> and <c>/metrics</c>.</summary>
internal static class DefaultEndpoints
{
    public static bool IsProbe(PathString path) =>
        path.Value is "/alive" or "/ready" or "/health" or "/metrics";

    public static void MapHealth(this IEndpointRouteBuilder endpoints)
    {
        var group = endpoints.MapGroup("").WithTags("Health").AvailableBeforeReady().WithPriority(RequestPriority.Exempt).DisableHttpMetrics().AllowAnonymous();
        group.MapGet("/alive", Alive).WithName("GetAlive").WithSummary("Liveness: the process answers.");
        group.MapGet("/ready", Ready).WithName("GetReady").WithSummary("Readiness: started and not draining.");
        group.MapGet("/health", Health).WithName("GetHealth").WithSummary("The state of the service and its dependencies.")
            .Produces<HealthReport>(StatusCodes.Status503ServiceUnavailable);
        group.MapPrometheusScrapingEndpoint("/metrics", endpoints.ServiceProvider.GetRequiredKeyedService<MeterProvider>(TelemetryExtensions.Prometheus), configureBranchedPipeline: null, optionsName: null)
            .WithMetadata(new HttpMethodMetadata([HttpMethods.Get])).ExcludeFromDescription();
    }

    private static Ok<ProbeAnswer> Alive() => TypedResults.Ok(new ProbeAnswer("alive"));

    private static Results<Ok<ProbeAnswer>, RetryableProblem> Ready(Readiness readiness) =>
        readiness.IsReady ? TypedResults.Ok(new ProbeAnswer("ready"))
        : readiness.IsDraining ? Problem.Unavailable("The service is stopping.", TimeSpan.FromSeconds(1))
        : Problem.Unavailable($"The service is starting: waiting for {string.Join(", ", readiness.Waiting)}.", TimeSpan.FromSeconds(1));

    private static async Task<JsonHttpResult<HealthReport>> Health(HealthReports reports, HttpContext context, CancellationToken cancellationToken)
    {
        context.Response.Headers.CacheControl = "no-store";
        var report = await reports.CreateAsync(cancellationToken);
        return TypedResults.Json(report, statusCode: report.Status == "unhealthy" ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status200OK);
    }

    internal sealed record ProbeAnswer(string Status);
}
