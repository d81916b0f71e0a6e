using System.Diagnostics;
using Dapper;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>
/// Takes the next deployment: rollbacks first, then first deployments, then redeployments, each in the order in which their shops got in line, and of
/// each shop one at a time.
/// </summary>
internal sealed class ClaimNextDeployment(PostgresDatabase database, DeploymentEvents events, IOptions<DeploymentOptions> options)
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

    private async Task<(DeploymentJob Job, IReadOnlyList<StepState> Steps)?> TryAsync(Guid worker, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        var job = await connection.QuerySingleOrDefaultAsync<DeploymentJob>(new CommandDefinition(
            """
            with next as (
              select d.id from deployments d
              where d.status = 'queued' and d.available_at <= now()
                and not exists (select from deployments r where r.shop_id = d.shop_id and r.status = 'running')
              order by d.priority, d.queued_at, d.id
              limit 1
              for update skip locked)
            update deployments d
            set status = 'running', worker = @worker, fencing_token = fencing_token + 1, lease_until = now() + @Lease, started_at = now()
            from next where d.id = next.id
            returning d.id as Id, d.shop_id as ShopId, d.worker as Worker, d.fencing_token as FencingToken, d.sequence as Sequence, d.kind as Kind, d.slug as Slug,
              d.template_name as TemplateName, d.template_version as TemplateVersion, d.template_digest as TemplateDigest, d.spec::text as Spec,
              d.rollback_to as RollbackTo, d.waits as Waits, d.correlation_id as CorrelationId, d.traceparent as Traceparent
            """, new { worker, options.Value.Lease }, transaction, cancellationToken: cancellationToken));
        if (job is null)
            return null;

        using var correlation = job.CorrelationId is null ? null : CorrelationContext.Begin(job.CorrelationId);
        using var activity = PlatformTelemetry.Source.StartActivity("deployment claim", ActivityKind.Consumer, job.Traceparent);
        if (job.FencingToken > 1)
        {
            // What is timed from here on belongs to this claim; ReturnDeployment relies on it.
            await connection.ExecuteAsync(new CommandDefinition(
                "update deployment_steps set started_at = null, finished_at = null, error = null where deployment_id = @Id",
                new { job.Id }, transaction, cancellationToken: cancellationToken));
        }

        var steps = job.FencingToken > 1 ? await DeploymentSteps.ReadAsync(connection, transaction, job.Id, job.Kind, cancellationToken) : DeploymentSteps.None(job.Kind);
        await events.ProgressedAsync(transaction, job.ShopId, job.Id, DeploymentStatus.Running, steps.Snapshot(), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        events.Wake();
        return (job, steps);
    }
}
