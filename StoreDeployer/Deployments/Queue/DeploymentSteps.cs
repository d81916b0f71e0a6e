using System.Text.Json;
using Dapper;
using Npgsql;
using Platform.ServiceDefaults;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>The rows of a deployment's steps.</summary>
internal static class DeploymentSteps
{
    /// <summary>The steps of a deployment that was never claimed.</summary>
    public static IReadOnlyList<StepState> None(string kind) => [.. StepState.NamesFor(kind).Select((name, position) => new StepState((short)position, name))];

    public static async Task<IReadOnlyList<StepState>> ReadAsync(NpgsqlConnection connection, NpgsqlTransaction? transaction, Guid deploymentId, string kind, CancellationToken cancellationToken)
    {
        var steps = None(kind);
        var rows = await connection.QueryAsync<Row>(new CommandDefinition(
            """
            select position as Position, started_at as StartedAt, finished_at as FinishedAt, attempts as Attempts, failures as Failures, error::text as Error
            from deployment_steps where deployment_id = @deploymentId
            """, new { deploymentId }, transaction, cancellationToken: cancellationToken));
        foreach (var row in rows.Where(row => row.Position < steps.Count))
        {
            var step = steps[row.Position];
            step.StartedAt = row.StartedAt;
            step.FinishedAt = row.FinishedAt;
            step.Attempts = row.Attempts;
            step.Failures = row.Failures;
            step.Error = row.Error is null ? null : JsonSerializer.Deserialize<DeploymentError>(row.Error, PlatformJson.Tolerant);
        }

        return steps;
    }

    /// <summary>Writes the steps. The transaction must hold the deployment's row under its fence, or the shop's lock.</summary>
    public static Task WriteAsync(NpgsqlTransaction transaction, Guid deploymentId, IReadOnlyList<StepState> steps, CancellationToken cancellationToken) =>
        WriteAfterAsync("", new { }, transaction, deploymentId, steps, cancellationToken);

    /// <summary>Runs <paramref name="sql"/>, which may name several statements, and then writes the steps, in one round trip. The transaction must hold what <see cref="WriteAsync"/> asks for.</summary>
    public static Task WriteAfterAsync(
        string sql, object parameters, NpgsqlTransaction transaction, Guid deploymentId, IReadOnlyList<StepState> steps, CancellationToken cancellationToken)
    {
        var all = new DynamicParameters(parameters);
        all.AddDynamicParams(new
        {
            deploymentId,
            positions = steps.Select(step => step.Position).ToArray(),
            names = steps.Select(step => step.Name).ToArray(),
            started = steps.Select(step => step.StartedAt?.UtcDateTime).ToArray(),
            finished = steps.Select(step => step.FinishedAt?.UtcDateTime).ToArray(),
            attempts = steps.Select(step => step.Attempts).ToArray(),
            failures = steps.Select(step => step.Failures).ToArray(),
            errors = steps.Select(step => step.Error is null ? null : JsonSerializer.Serialize(step.Error, PlatformJson.Tolerant)).ToArray(),
        });
        return transaction.Connection!.ExecuteAsync(new CommandDefinition(
            $"""
            {sql}
            insert into deployment_steps as s (deployment_id, position, name, started_at, finished_at, attempts, failures, error)
            select @deploymentId, * from unnest(@positions, @names, @started, @finished, @attempts, @failures, @errors::jsonb[])
            on conflict (deployment_id, position) do update
            set started_at = excluded.started_at, finished_at = excluded.finished_at, attempts = excluded.attempts, failures = excluded.failures, error = excluded.error
            """, all, transaction, cancellationToken: cancellationToken));
    }

    public static IReadOnlyList<DeploymentStep> Snapshot(this IEnumerable<StepState> steps) => [.. steps.Select(step => step.Snapshot())];

    // Dapper gives timestamptz as a UTC DateTime.
    private sealed record Row(short Position, DateTime? StartedAt, DateTime? FinishedAt, int Attempts, int Failures, string? Error);
}
