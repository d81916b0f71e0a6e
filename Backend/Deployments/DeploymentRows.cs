using System.Text.Json;
using Npgsql;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.ServiceDefaults;

namespace Platform.Backend.Deployments;

/// <summary>Reads rows of <c>deployments</c>, and writes an event for each change.</summary>
internal static class DeploymentRows
{
    public const string Columns =
        "id, shop_id, kind, template_name, template_version, template_digest, status, steps, url, release, rollback_to, error, " +
        "cancel_requested_at, created_at, finished_at, events";

    /// <summary>The signal that is set after every change of a deployment.</summary>
    public const string SignalName = "deployments";

    /// <summary>
    /// SQL condition: the deployment belongs to the caller, whose <see cref="Caller.OnlyOf"/> is the second parameter. Deployments accepted before there were owners belong
    /// to the owner of their shop; once the shop is deleted, only administrators see them.
    /// </summary>
    public const string IsCallers = "($2::uuid is null or coalesce(deployments.owner_id, (select s.owner_id from shops s where s.id = deployments.shop_id)) = $2)";

    /// <summary>Reads the deployment if it belongs to the caller, and locks its row until the transaction ends.</summary>
    public static async Task<Deployment?> LockDeploymentAsync(this NpgsqlTransaction transaction, Guid id, Caller caller, CancellationToken cancellationToken)
    {
        await using var command = transaction.Command($"select {Columns} from deployments where id = $1 and {IsCallers} for no key update", id, caller.OnlyOf);
        return await command.FindAsync(Read, cancellationToken);
    }

    /// <summary>
    /// Runs a statement that changes deployments, and writes an event for each. The statement must return <see cref="Columns"/> and increment <c>events</c>, which becomes
    /// the event's number.
    /// </summary>
    public static async Task<IReadOnlyList<Deployment>> ChangeDeploymentsAsync(
        this NpgsqlTransaction transaction, DateTimeOffset now, string sql, object?[] parameters, CancellationToken cancellationToken)
    {
        var changed = new List<Deployment>();
        await using var batch = new NpgsqlBatch(transaction.Connection, transaction);
        await using (var command = transaction.Command(sql, parameters))
        await using (var reader = await command.ExecuteReaderAsync(cancellationToken))
        {
            while (await reader.ReadAsync(cancellationToken))
            {
                var deployment = Read(reader);
                changed.Add(deployment);
                batch.BatchCommands.Add(Sql.BatchCommand(
                    "insert into deployment_events (deployment_id, number, deployment, at) values ($1, $2, $3::json, $4)",
                    deployment.Id, reader.GetInt32(15), JsonSerializer.Serialize(deployment, PlatformJson.Tolerant), now));
            }
        }

        if (changed.Count > 0)
            await batch.ExecuteNonQueryAsync(cancellationToken);
        return changed;
    }

    public static Deployment Read(NpgsqlDataReader row) => new()
    {
        Id = row.GetGuid(0),
        ShopId = row.GetGuid(1),
        Kind = row.GetString(2),
        Template = new(row.GetString(3), row.GetString(4), row.GetString(5)),
        Status = row.GetString(6),
        Steps = row.GetJson<List<DeploymentStep>>(7),
        Url = row.GetNullableString(8),
        Release = row.GetNullable<Guid>(9),
        RollbackTo = row.GetNullable<Guid>(10),
        Error = row.IsDBNull(11) ? null : row.GetJson<DeploymentError>(11),
        CancelRequestedAt = row.GetNullable<DateTimeOffset>(12),
        CreatedAt = row.GetFieldValue<DateTimeOffset>(13),
        FinishedAt = row.GetNullable<DateTimeOffset>(14),
    };
}
