using Npgsql;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Deployments;

/// <summary>Finds one of the caller's deployments.</summary>
internal sealed class FindDeployment(Caller caller, PostgresDatabase database)
{
    /// <summary>The deployment, also if its shop was deleted; or null.</summary>
    public Task<Deployment?> ExecuteAsync(Guid id, CancellationToken cancellationToken) => database.FindAsync(
        $"select {DeploymentRows.Columns} from deployments where id = $1 and {DeploymentRows.IsCallers}", [id, caller.OnlyOf], DeploymentRows.Read, cancellationToken);
}

/// <summary>Lists a shop's deployments and rollbacks, newest first.</summary>
internal sealed class ListDeployments(Caller caller, PostgresDatabase database)
{
    /// <summary>Up to <paramref name="limit"/> deployments older than the one with the id <paramref name="after"/>, or the newest ones; null if the caller has no such shop.</summary>
    public Task<Page<Deployment>?> ExecuteAsync(Guid shopId, Guid? after, int limit, CancellationToken cancellationToken) => database.ReadAsync<Page<Deployment>?>(async connection =>
    {
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                Sql.BatchCommand("select from shops where id = $1 and ($2::uuid is null or owner_id = $2)", shopId, caller.OnlyOf),
                Sql.BatchCommand(
                    $"""
                    select {DeploymentRows.Columns} from deployments
                    where shop_id = $1 and ($2::uuid is null or id < $2)
                    order by id desc limit $3
                    """,
                    shopId, after, limit + 1),
            },
        };
        await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
        if (!reader.HasRows)
            return null;

        await reader.NextResultAsync(cancellationToken);
        return Page.Of(await reader.ListAsync(DeploymentRows.Read, cancellationToken), limit, deployment => deployment.Id);
    }, cancellationToken);
}
