using System.Diagnostics.Metrics;
using Dapper;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments.Queue;

/// <summary>Metrics: the queue's length, the age of its oldest claimable deployment, and how many deployments this process can run.</summary>
internal sealed class QueueMetrics : PolledMetrics<QueueMetrics.Figures>
{
    private readonly PostgresDatabase _database;

    public QueueMetrics(
        PostgresDatabase database, ProcessSession session, IOptions<DeploymentOptions> options, IMeterFactory meters, DatabaseMigrations migrations, TimeProvider time, ILogger<QueueMetrics> logger)
        : base(migrations, time, logger)
    {
        _database = database;
        var meter = meters.CreateMeter("deployments");
        meter.CreateObservableGauge("platform.deployments.queue.depth", () => Latest is { } figures ? [Status("queued", figures.Queued), Status("running", figures.Running)] : Array.Empty<Measurement<long>>(), "{deployment}", "Queued and running deployments, by status.");
        meter.CreateObservableGauge("platform.deployments.queue.oldest.age", () => Latest is { } figures ? [new(figures.OldestSeconds)] : Array.Empty<Measurement<double>>(), "s", "How long the oldest claimable deployment has waited for a worker; 0 if there is none.");
        meter.CreateObservableGauge("platform.deployments.workers", () => session.Id is null ? 0 : options.Value.Workers, "{worker}", "Deployments that this process can run concurrently; 0 while it can't claim any.");

        static Measurement<long> Status(string status, long value) => new(value, new KeyValuePair<string, object?>("status", status));
    }

    protected override async Task<Figures> ReadAsync(CancellationToken cancellationToken)
    {
        await using var connection = await _database.OpenConnectionAsync(cancellationToken);
        return await connection.QuerySingleAsync<Figures>(new CommandDefinition(
            """
            select count(*) filter (where d.status = 'queued') as Queued, count(*) filter (where d.status = 'running') as Running,
              coalesce(extract(epoch from now() - min(greatest(d.queued_at, d.available_at)) filter (
                where d.status = 'queued' and d.available_at <= now()
                  and not exists (select from deployments r where r.shop_id = d.shop_id and r.status = 'running'))), 0)::float8 as OldestSeconds
            from deployments d where d.status in ('queued', 'running')
            """, cancellationToken: cancellationToken));
    }

    internal sealed record Figures(long Queued, long Running, double OldestSeconds);
}
