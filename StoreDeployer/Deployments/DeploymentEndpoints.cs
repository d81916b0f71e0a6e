using Dapper;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Deployments;

/// <summary>A deployment in StoreDeployer's queue.</summary>
/// <param name="Id">The deployment's id.</param>
/// <param name="ShopId">The shop's id.</param>
/// <param name="Slug">The last part of the store's address.</param>
/// <param name="Kind">deployment or rollback.</param>
/// <param name="Template">The template it uses.</param>
/// <param name="Status">queued, running, live, failed, superseded or cancelled.</param>
/// <param name="Steps">In the order in which they run.</param>
/// <param name="LostLeases">How often its worker died or stopped renewing its lease.</param>
/// <param name="Url">The store's address, once it is live.</param>
/// <param name="Release">The release that went live.</param>
/// <param name="Error">Why it failed, or what it waits for.</param>
/// <param name="CreatedAt">When it was requested.</param>
/// <param name="StartedAt">When a worker last claimed it.</param>
/// <param name="FinishedAt">When it became final.</param>
public sealed record DeploymentView(
    Guid Id, Guid ShopId, string Slug, string Kind, DeployedTemplate? Template, string Status, IReadOnlyList<DeploymentStep> Steps, int LostLeases,
    string? Url, Guid? Release, DeploymentError? Error, DateTimeOffset CreatedAt, DateTimeOffset? StartedAt, DateTimeOffset? FinishedAt);

/// <summary>Read access to the queue, for operators and Backend.</summary>
internal static class DeploymentEndpoints
{
    public static void MapDeployments(this IEndpointRouteBuilder routes)
    {
        var deployments = routes.MapGroup("/deployments").WithTags("Deployments").RequireInternalToken();
        deployments.MapGet("/", ListDeployments).WithName("ListDeployments").WithSummary("Deployments, newest first");
        deployments.MapGet("/{id:guid}", GetDeployment).WithName("GetDeployment").WithSummary("A deployment");
        deployments.MapGet("/{id:guid}/status", GetDeployment).WithName("GetDeploymentStatus").WithSummary("A deployment (an alias of GetDeployment)");
    }

    private static async Task<Results<Ok<Page<DeploymentView>>, ValidationProblem>> ListDeployments(
        string? status, [AsParameters] PageQuery query, PostgresDatabase database, IOptions<StoreOptions> options, CancellationToken cancellationToken)
    {
        if (!query.TryRead<Guid?>(out var after, out var limit, out var invalid))
            return invalid;
        var known = Enum.GetValues<DeploymentStatus>().Select(value => value.Text()).ToList();
        if (status is not null && !known.Contains(status))
        {
            var errors = new ValidationErrors();
            errors.Add("status", $"must be one of {string.Join(", ", known)}");
            return errors.ToResult();
        }

        var rows = await ReadAsync(database, options, "where (@status::text is null or status = @status) and (@after::uuid is null or id < @after)", new { status, after, limit = limit + 1 }, cancellationToken);
        return TypedResults.Ok(Page.Of(rows, limit, deployment => deployment.Id));
    }

    private static async Task<Results<Ok<DeploymentView>, ProblemHttpResult>> GetDeployment(
        Guid id, PostgresDatabase database, IOptions<StoreOptions> options, CancellationToken cancellationToken) =>
        await ReadAsync(database, options, "where id = @id", new { id, limit = 1 }, cancellationToken) is [var deployment]
            ? TypedResults.Ok(deployment)
            : Problem.NotFound($"There is no deployment {id}.");

    private static Task<IReadOnlyList<DeploymentView>> ReadAsync(
        PostgresDatabase database, IOptions<StoreOptions> options, string where, object parameters, CancellationToken cancellationToken) => database.ReadAsync<IReadOnlyList<DeploymentView>>(async connection =>
    {
        var rows = await connection.QueryAsync<Row>(new CommandDefinition(
            $"""
            select id as Id, shop_id as ShopId, slug as Slug, kind as Kind, template_name as TemplateName, template_version as TemplateVersion,
              template_digest as TemplateDigest, status as Status, lost_leases as LostLeases, release as Release, error::text as Error,
              created_at as CreatedAt, started_at as StartedAt, finished_at as FinishedAt
            from deployments {where} order by id desc limit @limit
            """, parameters, cancellationToken: cancellationToken));
        var deployments = new List<DeploymentView>();
        foreach (var row in rows)
        {
            var steps = await DeploymentSteps.ReadAsync(connection, null, row.Id, row.Kind, cancellationToken);
            deployments.Add(new(
                row.Id, row.ShopId, row.Slug, row.Kind,
                row.TemplateDigest is null ? null : new(row.TemplateName!, row.TemplateVersion!, row.TemplateDigest),
                row.Status, steps.Snapshot(), row.LostLeases,
                row.Release is null ? null : options.Value.UrlOf(row.Slug).AbsoluteUri, row.Release,
                DeploymentError.FromJson(row.Error),
                new DateTimeOffset(row.CreatedAt), row.StartedAt, row.FinishedAt));
        }

        return deployments;
    }, cancellationToken);

    private sealed record Row(
        Guid Id, Guid ShopId, string Slug, string Kind, string? TemplateName, string? TemplateVersion, string? TemplateDigest, string Status, int LostLeases,
        Guid? Release, string? Error, DateTime CreatedAt, DateTime? StartedAt, DateTime? FinishedAt);
}
