using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Replaces a shop's content. The live store does not change until the next deployment.</summary>
internal sealed class ReplaceShop(FindShop findShop, ChooseTemplate chooseTemplate, PostgresDatabase database, Idempotency idempotency, TimeProvider time)
{
    /// <summary>
    /// 200 with the shop; 400 naming each invalid field; 404; 409 if it is being deleted; or 412 if <paramref name="ifMatch"/> is not the tag of the last edit.
    /// </summary>
    public async Task<Results<Tagged<Ok<Shop>>, ValidationProblem, ProblemHttpResult>> ExecuteAsync(
        Guid id, IList<EntityTagHeaderValue> ifMatch, ShopReplacement input, CancellationToken cancellationToken)
    {
        if (await findShop.ExecuteAsync(id, cancellationToken) is not { } known)
            return ShopProblems.NotFound(id);
        if (!ShopTag.Matches(ifMatch, known))
            return ShopProblems.ChangedMeanwhile();

        var errors = new ValidationErrors();
        if (input.Slug is not null && input.Slug != known.Slug)
            errors.Add("slug", $"cannot be changed; it is \"{known.Slug}\"");
        ShopRules.Check(errors, input);
        var template = await chooseTemplate.ExecuteAsync(errors, input, known.Template, cancellationToken);
        if (errors.Any || template is null)
            return errors.ToResult();

        input = ShopRules.Normalize(input);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await using var command = transaction.Command(
            $"""
            update shops
            set name = $3, template_name = $4, template_version = $5, template_digest = $6, settings = $7, products = $8,
                version = version + 1, updated_at = $9
            where id = $1 and version = $2 and status <> 'deleting'
            returning {ShopRows.Columns}
            """,
            id, known.Version, input.Name, template.Name, template.Version, template.Digest,
            Sql.Json(input.Settings), Sql.Json(input.Products), time.GetUtcNow());
        if (await command.FindAsync(ShopRows.Read, cancellationToken) is { } shop)
            return await idempotency.CommitAsync(transaction, new Tagged<Ok<Shop>>(TypedResults.Ok(shop), shop), cancellationToken);

        await transaction.RollbackAsync(cancellationToken);
        return await findShop.ExecuteAsync(id, cancellationToken) switch
        {
            null => ShopProblems.NotFound(id),
            { Status: ShopStatus.Deleting } => ShopProblems.BeingDeleted(),
            _ => ShopProblems.ChangedMeanwhile(),
        };
    }
}
