using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary><c>/api/shops</c>.</summary>
internal static class ShopEndpoints
{
    public static void AddShops(this IHostApplicationBuilder builder)
    {
        builder.Services.AddScoped<ChooseTemplate>();
        builder.Services.AddScoped<FindShop>();
        builder.Services.AddScoped<ListShops>();
        builder.Services.AddScoped<CreateShop>();
        builder.Services.AddScoped<ReplaceShop>();
        builder.Services.AddScoped<DeleteShop>();
    }

    public static void MapShops(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/shops").WithTags("Shops").WithIdempotency();
        group.MapPost("/", Create).WithName("CreateShop").ProducesProblem(409).ProducesProblem(422)
            .WithSummary("Creates a shop.")
            .WithDescription("`settings` are values for the template's parameters. The store is not live before the shop is deployed. 409 when the slug is taken.");
        group.MapGet("/", List).WithName("ListShops")
            .WithSummary("Lists shops, the newest first.");
        group.MapGet("/{id:guid}", Get).WithName("GetShop").Produces(304).ProducesProblem(404)
            .WithSummary("Shows a shop, with the ETag that a change needs.");
        group.MapPut("/{id:guid}", Replace).WithName("ReplaceShop")
            .ProducesProblem(404).ProducesProblem(409).ProducesProblem(412).ProducesProblem(422).ProducesProblem(428)
            .WithSummary("Replaces a shop; what is left out is emptied.")
            .WithDescription("Needs the shop's ETag as `If-Match`: 428 without one, 412 when the shop was changed since. The live store changes with the next deployment.");
        group.MapDelete("/{id:guid}", Delete).WithName("DeleteShop").ProducesProblem(404).ProducesProblem(412)
            .WithSummary("Deletes a shop and takes its store down.")
            .WithDescription("The shop is `deleting` until its store is gone; then it is gone too and its slug is free. `If-Match` is optional.");
    }

    private static Task<Results<Tagged<Created<Shop>>, ValidationProblem, ProblemHttpResult>> Create(
        NewShop shop, CreateShop create, CancellationToken cancellationToken) =>
        create.ExecuteAsync(shop, cancellationToken);

    private static async Task<Results<Ok<Page<ShopSummary>>, ValidationProblem>> List(
        [AsParameters] PageQuery page, ListShops list, CancellationToken cancellationToken) =>
        page.TryRead<Guid?>(out var after, out var limit, out var problem)
            ? TypedResults.Ok(await list.ExecuteAsync(after, limit, cancellationToken))
            : problem;

    private static async Task<Results<Tagged<Ok<Shop>>, StatusCodeHttpResult, ProblemHttpResult>> Get(
        Guid id, FindShop find, HttpContext context, CancellationToken cancellationToken)
    {
        if (await find.ExecuteAsync(id, cancellationToken) is not { } shop)
            return ShopProblems.NotFound(id);
        if (!ShopTag.IsCurrent(context.Request.GetTypedHeaders().IfNoneMatch, shop))
            return new Tagged<Ok<Shop>>(TypedResults.Ok(shop), shop);
        context.Response.GetTypedHeaders().ETag = ShopTag.Of(shop);
        return TypedResults.StatusCode(StatusCodes.Status304NotModified);
    }

    private static async Task<Results<Tagged<Ok<Shop>>, ValidationProblem, ProblemHttpResult>> Replace(
        Guid id, ShopReplacement shop, ReplaceShop replace, HttpRequest request, CancellationToken cancellationToken) =>
        !TryReadIfMatch(request, out var ifMatch) ? Problem.BadRequest("If-Match must be an ETag in quotes, or *.")
        : ifMatch.Count == 0 ? Problem.PreconditionRequired("Send the shop's ETag as If-Match, so that nobody else's change is lost.")
        : await replace.ExecuteAsync(id, ifMatch, shop, cancellationToken);

    private static async Task<Results<Tagged<Accepted<Shop>>, ProblemHttpResult>> Delete(
        Guid id, DeleteShop delete, HttpRequest request, CancellationToken cancellationToken) =>
        TryReadIfMatch(request, out var ifMatch)
            ? await delete.ExecuteAsync(id, ifMatch, cancellationToken)
            : Problem.BadRequest("If-Match must be an ETag in quotes, or *.");

    private static bool TryReadIfMatch(HttpRequest request, out IList<EntityTagHeaderValue> tags)
    {
        tags = [];
        return request.Headers.IfMatch.Count == 0 || EntityTagHeaderValue.TryParseStrictList(request.Headers.IfMatch!, out tags!);
    }
}
