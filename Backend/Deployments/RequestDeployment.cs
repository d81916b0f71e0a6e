using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;
using Platform.Backend.Catalog;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.Backend.Shops;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Deployments;

/// <summary>Accepts a deployment of a shop's current content. StoreDeployer need not be up: the message waits in the outbox.</summary>
internal sealed class RequestDeployment(Caller caller, TemplateCatalog catalog, AcceptDeployment accept, PostgresDatabase database)
{
    /// <summary>202 with the <c>queued</c> deployment; 400 if the version does not exist or the shop's settings are invalid for it; 404; or 409 if the shop is being deleted.</summary>
    /// <exception cref="DependencyUnavailableException">The registry is unavailable and the version is not cached.</exception>
    public async Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> ExecuteAsync(
        Guid shopId, DeploymentInput input, CancellationToken cancellationToken)
    {
        // The settings are checked against the other version without a lock, because that may need a call to the registry. If the shop was edited meanwhile, check again.
        TemplateVersion? other = null;
        ShopDetails? known = null;
        while (true)
        {
            await using (var connection = await database.OpenConnectionAsync(cancellationToken))
            await using (var transaction = await connection.BeginTransactionAsync(cancellationToken))
            {
                if (await transaction.LockShopAsync(shopId, caller, cancellationToken) is not { } shop)
                    return ShopProblems.NotFound(shopId);
                if (shop.Status == ShopStatus.Deleting)
                    return ShopProblems.BeingDeleted();

                if (input.Version is null || input.Version == shop.Template.Version)
                    return await accept.ExecuteAsync(transaction, shop, new(shop.Template.Name, shop.Template.Version, shop.TemplateDigest), rollbackTo: null, cancellationToken);
                if (other is not null && known?.Version == shop.Version)
                    return await accept.ExecuteAsync(transaction, shop, new(other.Name, other.Version, other.Digest), rollbackTo: null, cancellationToken);
                known = shop;
            }

            var errors = new ValidationErrors();
            other = await catalog.FindContentAsync(known.Template.Name, input.Version, cancellationToken);
            if (other is null)
                errors.Add("version", $"is not a version of the template '{known.Template.Name}'");
            else
                SettingsRules.Check(errors, other.Parameters, known.Settings);
            if (errors.Any)
                return errors.ToResult();
        }
    }
}

/// <summary>Accepts a rollback of a store to an earlier release.</summary>
internal sealed class RollBackShop(Caller caller, AcceptDeployment accept, PostgresDatabase database)
{
    /// <summary>
    /// 202 with the <c>queued</c> rollback; 400 if the release was never live; 404; or 409 if there is no earlier release, it is already live, or the shop is being deleted.
    /// </summary>
    public async Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> ExecuteAsync(
        Guid shopId, RollbackInput input, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        if (await transaction.LockShopAsync(shopId, caller, cancellationToken) is not { } shop)
            return ShopProblems.NotFound(shopId);
        if (shop.Status == ShopStatus.Deleting)
            return ShopProblems.BeingDeleted();
        if (input.Release is not null && input.Release == shop.Release)
            return Problem.Conflict("That release is already live.");

        await using var command = transaction.Command(
            """
            select release, template_name, template_version, template_digest from deployments
            where shop_id = $1 and status = 'live' and release <> $2 and ($3::uuid is null or release = $3)
            order by activation desc limit 1
            """,
            shopId, shop.Release ?? Guid.Empty, input.Release);
        Guid release;
        DeployedTemplate template;
        await using (var reader = await command.ExecuteReaderAsync(cancellationToken))
        {
            if (!await reader.ReadAsync(cancellationToken))
            {
                return input.Release is null
                    ? Problem.Conflict("The shop has no earlier release to go back to.")
                    : new ValidationErrors().Add("release", "is not an earlier release of this shop").ToResult();
            }

            release = reader.GetGuid(0);
            template = new(reader.GetString(1), reader.GetString(2), reader.GetString(3));
        }

        return await accept.ExecuteAsync(transaction, shop, template, release, cancellationToken);
    }
}

/// <summary>Writes an accepted deployment, its first event, its message and the idempotent response in one transaction.</summary>
internal sealed class AcceptDeployment(Outbox outbox, Idempotency idempotency, TimeProvider time)
{
    /// <summary>
    /// Commits <paramref name="transaction"/>, which must hold the lock on the shop's row (<see cref="ShopRows.LockShopAsync"/>), so that a shop's messages have the
    /// same order as its deployments.
    /// </summary>
    public async Task<Accepted<Deployment>> ExecuteAsync(
        NpgsqlTransaction transaction, ShopDetails shop, DeployedTemplate template, Guid? rollbackTo, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        var kind = rollbackTo is null ? "deployment" : "rollback";
        var changed = await transaction.ChangeDeploymentsAsync(
            now,
            $"""
            insert into deployments (id, shop_id, kind, template_name, template_version, template_digest, rollback_to, created_at, events, owner_id)
            values ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9)
            returning {DeploymentRows.Columns}
            """,
            [Guid.CreateVersion7(now), shop.Id, kind, template.Name, template.Version, template.Digest, rollbackTo, now, shop.OwnerId],
            cancellationToken);
        var deployment = changed[0];
        var priority = rollbackTo is not null ? DeploymentPriority.Rollback
            : shop.Release is null ? DeploymentPriority.FirstDeployment
            : DeploymentPriority.Redeployment;
        // A rollback activates files that are already stored, so its message needs no catalogue.
        var (products, collections) = rollbackTo is null ? await ReadCatalogAsync(transaction, shop.Id, cancellationToken) : ([], []);
        var snapshot = new ShopSnapshot(shop.Name, shop.Settings, products, shop.Currency, shop.Locale, collections.Count > 0 ? collections : null);
        await outbox.EnqueueAsync(
            transaction, StoreDeployer.Name, DeploymentRequested.Type, shop.Id, deployment.Id.ToString(),
            new DeploymentRequested(deployment.Id, shop.Id, shop.Slug, kind, priority, template, snapshot, rollbackTo, now), cancellationToken);
        return await idempotency.CommitAsync(
            transaction, TypedResults.Accepted($"/api/deployments/{deployment.Id}", deployment), cancellationToken);
    }

    private static async Task<(IReadOnlyList<SnapshotProduct> Products, IReadOnlyList<SnapshotCollection> Collections)> ReadCatalogAsync(
        NpgsqlTransaction transaction, Guid shopId, CancellationToken cancellationToken)
    {
        await using var batch = new NpgsqlBatch(transaction.Connection, transaction)
        {
            BatchCommands =
            {
                Sql.BatchCommand(ProductRows.SelectOfShop, shopId, int.MaxValue),
                Sql.BatchCommand(CollectionRows.Select, shopId),
            },
        };
        await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
        var products = await reader.ListAsync(row => SnapshotProduct.Of(ProductRows.Read(row)), cancellationToken);
        await reader.NextResultAsync(cancellationToken);
        var collections = await reader.ListAsync(CollectionRows.Read, cancellationToken);
        return (products, [.. collections.Select(collection => new SnapshotCollection(collection.Slug, collection.Name, collection.Description, collection.Skus))]);
    }
}
