using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;
using Platform.Backend.Catalog;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Replaces a shop's content. The live store does not change until the next deployment.</summary>
internal sealed class ReplaceShop(
    Caller caller, FindShop findShop, ListAllProducts listProducts, ChooseTemplate chooseTemplate, PostgresDatabase database, Idempotency idempotency, TimeProvider time)
{
    /// <summary>
    /// 200 with the shop; 400 naming each invalid field; 404; 409 if it is being deleted; or 412 if <paramref name="ifMatch"/> is not the tag of the last edit.
    /// </summary>
    public async Task<Results<Tagged<Ok<Shop>>, ValidationProblem, ProblemHttpResult>> ExecuteAsync(
        Guid id, IList<EntityTagHeaderValue> ifMatch, ShopReplacement input, CancellationToken cancellationToken)
    {
        if (await findShop.FindDetailsAsync(id, cancellationToken) is not { } known)
            return ShopProblems.NotFound(id);
        if (!ShopTag.Matches(ifMatch, known))
            return ShopProblems.ChangedMeanwhile();

        // If they are edited while we work, so is the shop, and the version below no longer matches.
        var existing = await listProducts.ExecuteAsync(id, cancellationToken);
        var keepsProducts = input.KeepsProducts || (!input.HasProducts && known.ProductCount > ShopRules.MaxProducts);
        if (keepsProducts)
            input = input with { Products = [.. existing.Select(ShopProduct.Of)] };

        var errors = new ValidationErrors();
        if (input.Slug is not null && input.Slug != known.Slug)
            errors.Add("slug", $"cannot be changed; it is \"{known.Slug}\"");
        var products = ShopRules.Check(errors, input, known, existing, keepsProducts);
        var template = await chooseTemplate.ExecuteAsync(errors, input, known.Template, cancellationToken);
        if (errors.Any || template is null)
            return errors.ToResult();

        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        if (await transaction.LockShopAsync(id, caller, cancellationToken) is not { } locked)
            return ShopProblems.NotFound(id);
        if (locked.Status == ShopStatus.Deleting)
            return ShopProblems.BeingDeleted();
        if (locked.Version != known.Version)
            return ShopProblems.ChangedMeanwhile();

        if (!keepsProducts)
        {
            await using var removal = transaction.Command(
                "delete from products where shop_id = $1 and not slug = any($2)", id, products.Select(product => product.Slug).ToArray());
            await removal.ExecuteNonQueryAsync(cancellationToken);
            if ((await SaveProducts.ExecuteAsync(transaction, id, products, cancellationToken)).BrokenRule is { } rule)
                return new ValidationErrors().Add("products", rule).ToResult();
        }

        // Last, because the new version number also brings the document up to date that a former version reads (see the migration).
        await using var command = transaction.Command(
            $"""
            update shops
            set name = $2, template_name = $3, template_version = $4, template_digest = $5, settings = $6, currency = $7, locale = $8, version = version + 1, updated_at = $9
            where id = $1
            returning {ShopRows.Columns}
            """,
            id, input.Name.Trim(), template.Name, template.Version, template.Digest, Sql.Json(input.Settings),
            ShopRules.CurrencyOf(input, known), ShopRules.NormalizeLocale(input.Locale), time.GetUtcNow());
        var shop = new Shop((await command.FindAsync(ShopRows.Read, cancellationToken))!, [.. products.Select(ShopProduct.Of)]);
        return await idempotency.CommitAsync(transaction, new Tagged<Ok<Shop>>(TypedResults.Ok(shop), ShopTag.Of(shop)), cancellationToken);
    }
}
