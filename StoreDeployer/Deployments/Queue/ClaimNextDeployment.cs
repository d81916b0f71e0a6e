using System.Text.Json;
using Dapper;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Claims the next deployment: rollbacks before first deployments before redeployments, within each the one whose shop has waited longest. Only one
/// deployment of a shop runs at a time.
/// </summary>
internal sealed class ClaimNextDeployment(PostgresDatabase database, IOptions<DeploymentOptions> options)
{
    private const int MaxAttempts = 3;

    public async Task<(DeploymentJob Job, IReadOnlyList<StepState> Steps)?> ExecuteAsync(Guid worker, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await TryAsync(worker, cancellationToken);
            }
            catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.UniqueViolation && attempt < MaxAttempts)
            {
                // Another worker claimed a deployment of the same shop after our snapshot was taken. The next attempt sees that.
            }
        }
    }

    // Backend is not told here; the first progress message says that the deployment is running.
    private async Task<(DeploymentJob Job, IReadOnlyList<StepState> Steps)?> TryAsync(Guid worker, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var claimed = await connection.QueryAsync<DeploymentJob, string?, (DeploymentJob, string?)>(new CommandDefinition(
            """
            with next as (
              select d.id from deployments d
              where d.status = 'queued' and d.available_at <= now()
                and not exists (select from deployments r where r.shop_id = d.shop_id and r.status = 'running')
              order by d.priority, d.queued_at, d.id
              limit 1
              for update skip locked),
            steps as (
              -- ReturnDeployment relies on this: a step with a start time was begun under the current claim
              update deployment_steps s set started_at = null, finished_at = null, error = null
              from next where s.deployment_id = next.id
              returning s.position, s.attempts, s.failures)
            update deployments d
            set status = 'running', worker = @worker, fencing_token = fencing_token + 1, lease_until = now() + @Lease, started_at = now()
            from next where d.id = next.id
            returning d.id as Id, d.shop_id as ShopId, d.worker as Worker, d.fencing_token as FencingToken, d.sequence as Sequence, d.kind as Kind, d.slug as Slug,
              d.template_name as TemplateName, d.template_version as TemplateVersion, d.template_digest as TemplateDigest, d.spec::text as Spec,
              d.rollback_to as RollbackTo, d.waits as Waits, d.correlation_id as CorrelationId, d.traceparent as Traceparent,
              (select json_agg(steps)::text from steps) as Steps
            """, new { worker, options.Value.Lease }, cancellationToken: cancellationToken), (job, steps) => (job, steps), splitOn: "Steps");
        return claimed.AsList() is [var (job, earlier)] ? (job, StepsOf(job.Kind, earlier)) : null;
    }

    private static IReadOnlyList<StepState> StepsOf(string kind, string? earlier)
    {
        var steps = DeploymentSteps.None(kind);
        foreach (var step in earlier is null ? [] : JsonSerializer.Deserialize<List<EarlierAttempts>>(earlier, PlatformJson.Tolerant)!.Where(step => step.Position < steps.Count))
            (steps[step.Position].Attempts, steps[step.Position].Failures) = (step.Attempts, step.Failures);
        return steps;
    }

    private sealed record EarlierAttempts(short Position, int Attempts, int Failures);
}
