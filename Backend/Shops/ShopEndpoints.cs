using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Net.Http.Headers;
using Platform.Backend.Catalog;
using Platform.Backend.Owners;
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
        builder.Services.AddScoped<ListAllProducts>();
        builder.Services.AddScoped<ListShops>();
        builder.Services.AddScoped<ListShopIds>();
        builder.Services.AddScoped<CreateShop>();
        builder.Services.AddScoped<ReplaceShop>();
        builder.Services.AddScoped<DeleteShop>();
    }

    public static void MapShops(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/shops").WithTags("Shops").RequireScope(Scopes.Read).WithIdempotency();
        group.MapPost("/", Create).WithName("CreateShop").RequireScope(Scopes.Deploy).ProducesProblem(409).ProducesProblem(422)
            .WithSummary("Creates a shop.")
            .WithDescription("`settings` are values for the template's parameters. The store is not live until the shop is deployed. 409 if the slug is taken.");
        group.MapGet("/", List).WithName("ListShops")
            .WithSummary("Lists the caller's shops, newest first; for an administrator those of all owners.");
        group.MapGet("/{id:guid}", Get).WithName("GetShop").Produces(304).ProducesProblem(404)
            .WithSummary("Shows a shop, with the ETag that changes need as If-Match.")
            .WithDescription("`products` lists all of them, up to 10,000: send `If-None-Match` to read them only after a change, or use `/products`, which has pages.");
        group.MapPut("/{id:guid}", Replace).WithName("ReplaceShop").RequireScope(Scopes.Deploy)
            .ProducesProblem(404).ProducesProblem(409).ProducesProblem(412).ProducesProblem(422).ProducesProblem(428)
            .WithSummary("Replaces a shop; omitted fields become empty.")
            .WithDescription("Needs the shop's ETag as `If-Match`: 428 without one, 412 if the shop was changed since. The live store does not change until the next deployment. `products` is the whole list; a shop with more than 500 keeps its products if it is omitted.");
        group.MapDelete("/{id:guid}", Delete).WithName("DeleteShop").RequireScope(Scopes.Deploy).ProducesProblem(404).ProducesProblem(412)
            .WithSummary("Deletes a shop and takes its store down.")
            .WithDescription("The shop is `deleting` until its store is taken down; then it is deleted and its slug is free. `If-Match` is optional.");
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
        Guid id, [FromHeader(Name = "If-None-Match")] string? ifNoneMatch, FindShop find, HttpResponse response, CancellationToken cancellationToken)
    {
        // An unparsable If-None-Match is ignored; the client then gets the full body instead of a 304.
        if (ifNoneMatch is not null && EntityTagHeaderValue.TryParseList([ifNoneMatch], out var tags)
            && await find.FindDetailsAsync(id, cancellationToken) is { } known && ShopTag.IsCurrent(tags, known))
        {
            response.GetTypedHeaders().ETag = ShopTag.Of(known);
            return TypedResults.StatusCode(StatusCodes.Status304NotModified);
        }

        return await find.ExecuteAsync(id, cancellationToken) is { } shop
            ? new Tagged<Ok<Shop>>(TypedResults.Ok(shop), ShopTag.Of(shop))
            : ShopProblems.NotFound(id);
    }

    private static async Task<Results<Tagged<Ok<Shop>>, ValidationProblem, ProblemHttpResult>> Replace(
        Guid id, [FromHeader(Name = "If-Match")] string? ifMatch, ShopReplacement shop, ReplaceShop replace, CancellationToken cancellationToken) =>
        ifMatch is null ? Problem.PreconditionRequired("Send the shop's ETag as If-Match, so that nobody else's change is lost.")
        : EntityTagHeaderValue.TryParseStrictList([ifMatch], out var tags) ? await replace.ExecuteAsync(id, tags, shop, cancellationToken)
        : NotATag();

    private static async Task<Results<Tagged<Accepted<Shop>>, ValidationProblem, ProblemHttpResult>> Delete(
        Guid id, [FromHeader(Name = "If-Match")] string? ifMatch, DeleteShop delete, CancellationToken cancellationToken)
    {
        IList<EntityTagHeaderValue>? tags = [];
        return ifMatch is null || EntityTagHeaderValue.TryParseStrictList([ifMatch], out tags) ? await delete.ExecuteAsync(id, tags, cancellationToken) : NotATag();
    }

    internal static ValidationProblem NotATag() => new ValidationErrors().Add("If-Match", "must be an ETag in quotes, or *").ToResult();
}
