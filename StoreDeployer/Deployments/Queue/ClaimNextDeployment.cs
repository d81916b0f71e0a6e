using System.Text.Json;
using Dapper;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Takes the next deployment: rollbacks first, then first deployments, then redeployments, each in the order in which their shops got in line, and of
/// each shop one at a time.
/// </summary>
internal sealed class ClaimNextDeployment(PostgresDatabase database, IOptions<DeploymentOptions> options)
{
    private const int Tries = 3;

    public async Task<(DeploymentJob Job, IReadOnlyList<StepState> Steps)?> ExecuteAsync(Guid worker, CancellationToken cancellationToken)
    {
        for (var tried = 1; ; tried++)
        {
            try
            {
                return await TryAsync(worker, cancellationToken);
            }
            catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.UniqueViolation && tried < Tries)
            {
                // Another worker took another deployment of the same shop between our look and our update; now we see it.
            }
        }
    }

    // Nobody is told: the first report of progress says that it runs, if it runs for so long.
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
              -- what is timed from here on belongs to this claim; ReturnDeployment relies on it
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
        return claimed.AsList() is [var (job, before)] ? (job, StepsOf(job.Kind, before)) : null;
    }

    private static IReadOnlyList<StepState> StepsOf(string kind, string? before)
    {
        var steps = DeploymentSteps.None(kind);
        foreach (var tried in before is null ? [] : JsonSerializer.Deserialize<List<Tried>>(before, PlatformJson.Tolerant)!.Where(tried => tried.Position < steps.Count))
            (steps[tried.Position].Attempts, steps[tried.Position].Failures) = (tried.Attempts, tried.Failures);
        return steps;
    }

    private sealed record Tried(short Position, int Attempts, int Failures);
}
