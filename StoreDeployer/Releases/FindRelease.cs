using Dapper;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments;

namespace Platform.StoreDeployer.Releases;

/// <summary>Finds the target of a rollback: the requested release, or the newest formerly live one that is older than the active one.</summary>
internal sealed class FindRelease(PostgresDatabase database)
{
    /// <exception cref="PermanentFailureException">There is none.</exception>
    public async Task<Guid> ExecuteAsync(DeploymentJob job, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var release = await connection.ExecuteScalarAsync<Guid?>(new CommandDefinition(
            """
            select r.id from releases r
            where r.shop_id = @ShopId and r.activated_at is not null
              and case when @RollbackTo::uuid is not null then r.id = @RollbackTo
                  else r.created_at < (select a.created_at from stores s join releases a on a.id = s.active_release where s.shop_id = @ShopId) end
            order by r.created_at desc
            limit 1
            """, new { job.ShopId, job.RollbackTo }, cancellationToken: cancellationToken));
        return release ?? throw (job.RollbackTo is { } requested
            ? new PermanentFailureException("release-not-found", $"The shop has no release {requested} any more, or it was never live.")
            : new PermanentFailureException("no-former-release", "The shop has no earlier release than the live one."));
    }
}
