using Microsoft.AspNetCore.Http.HttpResults;
using Platform.Backend.Deployments;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Communication;

namespace Platform.Backend.Status;

/// <summary><c>/api/status</c>.</summary>
internal static class StatusEndpoints
{
    public static void AddStatus(this IHostApplicationBuilder builder)
    {
        builder.Services.AddSingleton<ServiceProbes>();
        builder.AddServiceClient<StoreDeployerMessages>(StoreDeployer.Name);
    }

    public static void MapStatus(this IEndpointRouteBuilder routes)
    {
        const string Summary = "Shows the state of Backend's dependencies.";
        var group = routes.MapGroup("").WithTags("Status").RequireScope(Scopes.Read);
        group.MapGet("/api/status/services", GetServices).WithName("GetServiceStatus").WithSummary(Summary);
        group.MapGet("/v1/api/status/services", GetServices).WithName("GetServiceStatusV1").WithSummary($"{Summary} The same as /api/status/services.");
        group.MapGet("/api/status/calls", GetCalls).WithName("GetCallStatus")
            .WithSummary("Shows the last calls of this replica to other services that were not plain successes, newest first, with each decision made for them.")
            .WithDescription("Of the last hundred, those made for the caller's own requests; all of them for an administrator.");
    }

    /// <summary>The logged calls that <paramref name="caller"/> may see, newest first.</summary>
    public static IEnumerable<LoggedCall> CallsFor(this CommunicationStatus communication, Caller caller) => caller.OnlyOf is { } owner
        ? communication.Calls.Where(call => call.Caller == owner.ToString())
        : communication.Calls;

    private static Ok<CallStatus> GetCalls(CommunicationStatus communication, Caller caller, TimeProvider time) =>
        TypedResults.Ok(new CallStatus(time.GetUtcNow(), [.. communication.CallsFor(caller)]));

    private static async Task<Ok<ServiceStatus>> GetServices(ServiceProbes probes, TimeProvider time, CancellationToken cancellationToken) =>
        TypedResults.Ok(new ServiceStatus(time.GetUtcNow(), await probes.AskAllAsync(cancellationToken)));

    /// <summary>The state of Backend's dependencies.</summary>
    /// <param name="Timestamp">When they were probed, UTC.</param>
    /// <param name="Services">The state of each, by name.</param>
    internal sealed record ServiceStatus(DateTimeOffset Timestamp, IReadOnlyDictionary<string, ServiceState> Services);

    /// <summary>Calls to other services that were not plain successes.</summary>
    /// <param name="Timestamp">When this was read, UTC.</param>
    /// <param name="Calls">The calls, newest first.</param>
    internal sealed record CallStatus(DateTimeOffset Timestamp, IReadOnlyList<LoggedCall> Calls);
}
