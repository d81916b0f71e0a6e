using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Platform.Backend.Owners;
using Platform.Backend.Shops;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Deployments;

/// <summary>Configuration <c>DeploymentEvents</c>.</summary>
internal sealed class DeploymentEventOptions
{
    /// <summary>How often a comment is sent on an idle stream, so that proxies keep the connection open. Default 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "00:10:00")]
    public TimeSpan Heartbeat { get; set; } = TimeSpan.FromSeconds(15);
}

/// <summary><c>/api/deployments</c>, and a shop's deployments and rollbacks below <c>/api/shops/{id}</c>.</summary>
internal static class DeploymentEndpoints
{
    public static void AddDeployments(this IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<DeploymentEventOptions>().BindConfiguration("DeploymentEvents").ValidateDataAnnotations().ValidateOnStart();
        builder.Services.AddSingleton<DeploymentMetrics>();
        builder.Services.AddScoped<FindDeployment>();
        builder.Services.AddScoped<ListDeployments>();
        builder.Services.AddScoped<ReadDeploymentEvents>();
        builder.Services.AddScoped<AcceptDeployment>();
        builder.Services.AddScoped<RequestDeployment>();
        builder.Services.AddScoped<RollBackShop>();
        builder.Services.AddScoped<CancelDeployment>();
        builder.Services.AddScoped<RetryDeployment>();
        builder.AddOutbox("backend", StoreDeployer.Name);
        builder.AddInbox()
            .Handle<DeploymentProgressed, ApplyDeploymentProgressed>(DeploymentProgressed.Type)
            .Handle<DeploymentFinished, ApplyDeploymentFinished>(DeploymentFinished.Type)
            .Handle<StoreRemoved, ApplyStoreRemoved>(StoreRemoved.Type);
    }

    public static void MapDeployments(this IEndpointRouteBuilder routes)
    {
        // Created at start-up, so that its series exist before the first deployment ends.
        _ = routes.ServiceProvider.GetRequiredService<DeploymentMetrics>();
        var shops = routes.MapGroup("/api/shops/{id:guid}").WithTags("Deployments").RequireScope(Scopes.Read).ProducesProblem(404).WithIdempotency();
        shops.MapPost("/deployments", Create).WithName("CreateDeployment").RequireScope(Scopes.Deploy).WithPriority(RequestPriority.Deployment).ProducesProblem(409).ProducesProblem(422)
            .WithSummary("Deploys the shop's current content.")
            .WithDescription("Accepted also while StoreDeployer is down. `version` selects another version of the shop's template, for this deployment only.");
        shops.MapGet("/deployments", List).WithName("ListDeployments")
            .WithSummary("Lists the shop's deployments and rollbacks, newest first.");
        shops.MapPost("/rollback", RollBack).WithName("RollBackShop").RequireScope(Scopes.Deploy).WithPriority(RequestPriority.Deployment).ProducesProblem(409).ProducesProblem(422)
            .WithSummary("Rolls the store back to an earlier release.")
            .WithDescription("By default the one that was live before the current one, or `release`. Rollbacks go ahead of queued deployments.");

        var deployments = routes.MapGroup("/api/deployments/{id:guid}").WithTags("Deployments").RequireScope(Scopes.Read).ProducesProblem(404).WithIdempotency();
        deployments.MapGet("/", Get).WithName("GetDeployment")
            .WithSummary("Shows a deployment.");
        deployments.MapGet("/status", Get).WithName("GetDeploymentStatus")
            .WithSummary("Shows a deployment, as `/api/deployments/{id}` does.");
        deployments.MapGet("/events", GetEvents).WithName("GetDeploymentEvents")
            .Produces<Deployment>(200, "text/event-stream").Produces(204).ProducesValidationProblem()
            .WithSummary("Follows a deployment by server-sent events.")
            .WithDescription("Events are `progressed`, and `finished` at the end; the data of each is the deployment. Resumes after `Last-Event-ID`; 204 if no more events will follow.")
            .DisableRequestTimeout().WithStreamingResponse();
        deployments.MapPost("/cancel", Cancel).WithName("CancelDeployment").RequireScope(Scopes.Deploy).WithPriority(RequestPriority.Deployment).ProducesProblem(409).ProducesProblem(422)
            .WithSummary("Cancels a deployment. It may still go live if the request comes too late.");
        deployments.MapPost("/retry", Retry).WithName("RetryDeployment").RequireScope(Scopes.Deploy).WithPriority(RequestPriority.Deployment).ProducesProblem(409).ProducesProblem(422)
            .WithSummary("Retries a failed deployment under the same id.");
    }

    private static Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> Create(
        Guid id, DeploymentInput? input, RequestDeployment request, CancellationToken cancellationToken) =>
        request.ExecuteAsync(id, input ?? new(), cancellationToken);

    private static async Task<Results<Ok<Page<Deployment>>, ValidationProblem, ProblemHttpResult>> List(
        Guid id, [AsParameters] PageQuery page, ListDeployments list, CancellationToken cancellationToken) =>
        !page.TryRead<Guid?>(out var after, out var limit, out var problem) ? problem
        : await list.ExecuteAsync(id, after, limit, cancellationToken) is { } deployments ? TypedResults.Ok(deployments)
        : ShopProblems.NotFound(id);

    private static Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> RollBack(
        Guid id, RollbackInput? input, RollBackShop rollBack, CancellationToken cancellationToken) =>
        rollBack.ExecuteAsync(id, input ?? new(), cancellationToken);

    private static async Task<Results<Ok<Deployment>, ProblemHttpResult>> Get(Guid id, FindDeployment find, CancellationToken cancellationToken) =>
        await find.ExecuteAsync(id, cancellationToken) is { } deployment ? TypedResults.Ok(deployment) : DeploymentProblems.NotFound(id);

    private static IResult GetEvents(Guid id, [FromHeader(Name = "Last-Event-ID")] string? lastEventId)
    {
        if (string.IsNullOrEmpty(lastEventId))
            return new DeploymentEventStream(id, after: 0);
        if (int.TryParse(lastEventId, NumberStyles.None, CultureInfo.InvariantCulture, out var after))
            return new DeploymentEventStream(id, after);
        return new ValidationErrors().Add("Last-Event-ID", "must be the id of an event of this stream").ToResult();
    }

    private static Task<Results<Accepted<Deployment>, ProblemHttpResult>> Cancel(Guid id, CancelDeployment cancel, CancellationToken cancellationToken) =>
        cancel.ExecuteAsync(id, cancellationToken);

    private static Task<Results<Accepted<Deployment>, ProblemHttpResult>> Retry(Guid id, RetryDeployment retry, CancellationToken cancellationToken) =>
        retry.ExecuteAsync(id, cancellationToken);
}
