using Dapper;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>The rows of a deployment's steps.</summary>
internal static class DeploymentSteps
{
    /// <summary>The steps of a deployment that was never claimed.</summary>
    public static IReadOnlyList<StepState> None(string kind)
    {
        string[] names = kind == DeploymentKind.Rollback ? ["verify", "activate"] : ["fetch", "render", "store", "verify", "activate"];
        return [.. names.Select((name, position) => new StepState((short)position, name))];
    }

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
            step.Error = DeploymentError.FromJson(row.Error);
        }

        return steps;
    }

    /// <summary>Writes the steps. The transaction must hold the deployment's row (<see cref="Fence.AssertHeld"/>) or the shop's lock.</summary>
    public static Statements Write(Guid deploymentId, IEnumerable<StepState> steps)
    {
        // Only steps that were begun have a row.
        var begun = steps.Where(step => step.StartedAt is not null || step.Attempts > 0 || step.Error is not null).ToList();
        return new(
            """
            insert into deployment_steps as s (deployment_id, position, name, started_at, finished_at, attempts, failures, error)
            select @deploymentId, * from unnest(@positions, @names, @started, @finished, @attempts, @failures, @errors::jsonb[])
            on conflict (deployment_id, position) do update
            set started_at = excluded.started_at, finished_at = excluded.finished_at, attempts = excluded.attempts, failures = excluded.failures, error = excluded.error
            """,
            new
            {
                deploymentId,
                positions = begun.Select(step => step.Position).ToArray(),
                names = begun.Select(step => step.Name).ToArray(),
                started = begun.Select(step => step.StartedAt?.UtcDateTime).ToArray(),
                finished = begun.Select(step => step.FinishedAt?.UtcDateTime).ToArray(),
                attempts = begun.Select(step => step.Attempts).ToArray(),
                failures = begun.Select(step => step.Failures).ToArray(),
                errors = begun.Select(step => step.Error?.ToJson()).ToArray(),
            });
    }

    public static IReadOnlyList<DeploymentStep> Snapshot(this IEnumerable<StepState> steps) => [.. steps.Select(step => step.Snapshot())];

    // Dapper gives timestamptz as a UTC DateTime.
    private sealed record Row(short Position, DateTime? StartedAt, DateTime? FinishedAt, int Attempts, int Failures, string? Error);
}
