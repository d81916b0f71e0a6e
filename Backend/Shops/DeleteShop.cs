using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;
using Platform.Backend.Catalog;
using Platform.Backend.Database;
using Platform.Backend.Deployments;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Begins to delete a shop. It is deleted, and its slug free, once StoreDeployer has taken the store down.</summary>
internal sealed class DeleteShop(Caller caller, PostgresDatabase database, Outbox outbox, Idempotency idempotency)
{
    /// <summary>202 with the shop, which is <c>deleting</c> now or was already; 404; or 412 if <paramref name="ifMatch"/> is not empty and not the tag of the last edit.</summary>
    public async Task<Results<Tagged<Accepted<Shop>>, ValidationProblem, ProblemHttpResult>> ExecuteAsync(
        Guid id, IList<EntityTagHeaderValue> ifMatch, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        if (await transaction.LockShopAsync(id, caller, cancellationToken) is not { } shop)
            return ShopProblems.NotFound(id);
        if (ifMatch.Count > 0 && !ShopTag.Matches(ifMatch, shop))
            return ShopProblems.ChangedMeanwhile();

        if (shop.Status != ShopStatus.Deleting)
        {
            await using var command = transaction.Command("update shops set status = 'deleting', changes = changes + 1 where id = $1", id);
            await command.ExecuteNonQueryAsync(cancellationToken);
            await outbox.EnqueueAsync(
                transaction, StoreDeployer.Name, ShopDeleted.Type, shop.Id, shop.Id.ToString(), new ShopDeleted(shop.Id, shop.Slug), cancellationToken);
            shop = shop with { Status = ShopStatus.Deleting, Changes = shop.Changes + 1 };
        }

        var deleting = new Shop(shop, [.. (await transaction.ReadProductsAsync(id, cancellationToken)).Select(ShopProduct.Of)]);
        return await idempotency.CommitAsync(
            transaction, new Tagged<Accepted<Shop>>(TypedResults.Accepted($"/api/shops/{id}", deleting), ShopTag.Of(shop)), cancellationToken);
    }
}
