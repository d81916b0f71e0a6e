using Microsoft.AspNetCore.Http.HttpResults;
using Platform.Backend.Catalog;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Creates a shop that belongs to the caller.</summary>
internal sealed class CreateShop(Caller caller, ChooseTemplate chooseTemplate, PostgresDatabase database, Idempotency idempotency, TimeProvider time)
{
    /// <summary>201 with the new shop; 400 naming each invalid field; or 409 if its slug is taken.</summary>
    public async Task<Results<Tagged<Created<Shop>>, ValidationProblem, ProblemHttpResult>> ExecuteAsync(NewShop input, CancellationToken cancellationToken)
    {
        var errors = new ValidationErrors();
        ShopRules.CheckSlug(errors, input.Slug);
        var products = ShopRules.Check(errors, input, known: null, []);
        var template = await chooseTemplate.ExecuteAsync(errors, input, current: null, cancellationToken);
        if (errors.Any || template is null)
            return errors.ToResult();

        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);

        // The unique constraint decides between concurrent requests for the same slug: only one of them gets a row back. Version 0, because the edit is counted below.
        var now = time.GetUtcNow();
        await using var command = transaction.Command(
            $"""
            insert into shops (id, slug, name, template_name, template_version, template_digest, settings, locale, version, created_at, updated_at, owner_id)
            values ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $9, $10)
            on conflict on constraint shops_slug_key do nothing
            returning {ShopRows.Columns}
            """,
            Guid.CreateVersion7(now), input.Slug, input.Name.Trim(), template.Name, template.Version, template.Digest, Sql.Json(input.Settings), ShopRules.NormalizeLocale(input.Locale),
            now, caller.OwnerId);
        if (await command.FindAsync(ShopRows.Read, cancellationToken) is not { } details)
            return Problem.Conflict($"The slug '{input.Slug}' is taken.");
        if ((await SaveProducts.ExecuteAsync(transaction, details.Id, products, cancellationToken)).BrokenRule is { } rule)
            return new ValidationErrors().Add("products", rule).ToResult();

        var currency = ShopRules.CurrencyOf(input, known: null);
        await CountEdit.ExecuteAsync(transaction, details.Id, currency, now, cancellationToken);
        var shop = new Shop(details with { Version = 1, Currency = currency }, [.. products.Select(ShopProduct.Of)]);
        return await idempotency.CommitAsync(
            transaction, new Tagged<Created<Shop>>(TypedResults.Created($"/api/shops/{shop.Id}", shop), ShopTag.Of(shop)), cancellationToken);
    }
}
