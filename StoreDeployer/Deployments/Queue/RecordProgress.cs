using Dapper;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Writes down how far a running deployment is, and tells Backend.</summary>
internal sealed class RecordProgress(PostgresDatabase database, DeploymentEvents events)
{
    /// <summary>Writes <paramref name="steps"/>.</summary>
    /// <exception cref="LeaseLostException">The lease is lost; nothing was written.</exception>
    public async Task ExecuteAsync(DeploymentLease lease, IReadOnlyList<StepState> steps, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await lease.AssertHeldAsync(transaction, cancellationToken);
        await DeploymentSteps.Write(lease.Id, steps)
            .Then(events.Progressed(lease.ShopId, lease.Id, DeploymentStatus.Running, steps.Snapshot()))
            .ExecuteAsync(transaction, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        events.Wake();
    }
}

internal static class LeaseChecks
{
    public const string Sql =
        """
        select true from deployments
        where id = @Id and worker = @Worker and fencing_token = @FencingToken and status = 'running' for no key update
        """;

    /// <summary>Locks the deployment for the rest of the transaction, if the lease holds.</summary>
    /// <exception cref="LeaseLostException">It doesn't.</exception>
    public static async Task AssertHeldAsync(this DeploymentLease lease, NpgsqlTransaction transaction, CancellationToken cancellationToken)
    {
        if (!await transaction.Connection!.ExecuteScalarAsync<bool>(new CommandDefinition(Sql, lease, transaction, cancellationToken: cancellationToken)))
            throw new LeaseLostException(lease);
    }
}
