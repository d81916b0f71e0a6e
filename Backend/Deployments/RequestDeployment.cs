using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;
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

/// <summary>Accepts a deployment of a shop as it stands. Needs no other service: the message waits in the outbox while StoreDeployer is down.</summary>
internal sealed class RequestDeployment(
    Caller caller, FindShop findShop, TemplateCatalog catalog, AcceptDeployment accept, PostgresDatabase database)
{
    /// <summary>The deployment, <c>queued</c>; 400 when the version does not exist or the shop's settings don't fit it; 404; or 409 when the shop is being deleted.</summary>
    /// <exception cref="DependencyUnavailableException">The registry cannot be asked for a version that was never seen.</exception>
    public async Task<Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult>> ExecuteAsync(
        Guid shopId, DeploymentInput input, CancellationToken cancellationToken)
    {
        // the shop may change while the registry is asked for another version; no row is locked during that call
        TemplateVersion? other = null;
        var checkedEdit = 0;
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
                if (other is not null && checkedEdit == shop.Version)
                    return await accept.ExecuteAsync(transaction, shop, new(other.Name, other.Version, other.Digest), rollbackTo: null, cancellationToken);
            }

            if (await findShop.ExecuteAsync(shopId, cancellationToken) is not { } known)
                return ShopProblems.NotFound(shopId);

            var errors = new ValidationErrors();
            other = await catalog.FindContentAsync(known.Template.Name, input.Version, cancellationToken);
            if (other is null)
                errors.Add("version", $"is not a version of the template '{known.Template.Name}'");
            else
                SettingsRules.Check(errors, other.Parameters, known.Settings);
            if (errors.Any)
                return errors.ToResult();
            checkedEdit = known.Version;
        }
    }
}

/// <summary>Asks for an earlier release of a store to be brought back.</summary>
internal sealed class RollBackShop(Caller caller, AcceptDeployment accept, PostgresDatabase database)
{
    /// <summary>
    /// The rollback, <c>queued</c>; 400 when the release was never live; 404; or 409 when there is nothing to go back to, it is live already, or the shop is being deleted.
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
            return Problem.Conflict("That release is live already.");

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
                return NothingToRollBackTo(input.Release);
            release = reader.GetGuid(0);
            template = new(reader.GetString(1), reader.GetString(2), reader.GetString(3));
        }

        return await accept.ExecuteAsync(transaction, shop, template, release, cancellationToken);
    }

    private static Results<Accepted<Deployment>, ValidationProblem, ProblemHttpResult> NothingToRollBackTo(Guid? release)
    {
        if (release is null)
            return Problem.Conflict("The shop has no earlier release to go back to.");
        var errors = new ValidationErrors();
        errors.Add("release", "is not an earlier release of this shop");
        return errors.ToResult();
    }
}

/// <summary>Writes an accepted deployment, its first event and its message, together with the stored answer.</summary>
internal sealed class AcceptDeployment(Outbox outbox, Idempotency idempotency, TimeProvider time)
{
    /// <summary>
    /// Commits <paramref name="transaction"/>, which must hold the shop's row (<see cref="ShopRows.LockShopAsync"/>), so that the shop's deployments are accepted
    /// in the order of their messages.
    /// </summary>
    public async Task<Accepted<Deployment>> ExecuteAsync(
        NpgsqlTransaction transaction, Shop shop, DeployedTemplate template, Guid? rollbackTo, CancellationToken cancellationToken)
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
        await outbox.EnqueueAsync(
            transaction, StoreDeployer.Name, DeploymentRequested.Type, shop.Id, deployment.Id.ToString(),
            new DeploymentRequested(
                deployment.Id, shop.Id, shop.Slug, kind, priority, template, new(shop.Name, shop.Settings, shop.Products), rollbackTo, now),
            cancellationToken);
        return await idempotency.CommitAsync(
            transaction, TypedResults.Accepted($"/api/deployments/{deployment.Id}", deployment), cancellationToken);
    }
}
