using Npgsql;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Paging;

namespace Platform.Backend.Deployments;

/// <summary>Finds one deployment.</summary>
internal sealed class FindDeployment(NpgsqlDataSource database)
{
    /// <summary>The deployment, also when its shop is gone; or null.</summary>
    public async Task<Deployment?> ExecuteAsync(Guid id, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var command = connection.Command($"select {DeploymentRows.Columns} from deployments where id = $1", id);
        return await command.ReadDeploymentAsync(cancellationToken);
    }
}

/// <summary>Lists a shop's deployments and rollbacks, the newest first.</summary>
internal sealed class ListDeployments(NpgsqlDataSource database)
{
    /// <summary>Up to <paramref name="limit"/> deployments older than the one of the id <paramref name="after"/>, or the newest ones; null when there is no such shop.</summary>
    public async Task<Page<Deployment>?> ExecuteAsync(Guid shopId, Guid? after, int limit, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                Sql.BatchCommand("select from shops where id = $1", shopId),
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
        var deployments = new List<Deployment>();
        while (await reader.ReadAsync(cancellationToken))
            deployments.Add(DeploymentRows.Read(reader));
        return Page.Of(deployments, limit, deployment => deployment.Id);
    }
}
