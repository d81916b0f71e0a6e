using System.Diagnostics.Metrics;
using Dapper;
using Platform.ServiceDefaults.Observability;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Rows that have had their time. <paramref name="Sql"/> deletes up to <c>@batch</c> of them and takes <c>@retention</c>.</summary>
internal sealed record CleanupTask(string Table, string Sql, TimeSpan Retention);

/// <summary>Deletes old rows now and then, in small batches that hold nobody up. Any number of replicas may do it at once.</summary>
internal sealed partial class Cleanup(
    PostgresDatabase database, DatabaseMigrations migrations, IEnumerable<CleanupTask> tasks, IMeterFactory meters, TimeProvider time, ILogger<Cleanup> logger)
    : BackgroundService
{
    private const int Batch = 1_000;

    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(5);

    private readonly Counter<long> _deleted = meters.CreateMeter("database")
        .CreateCounter<long>("platform.database.cleanup.deleted", "{row}", "Rows deleted because their time was over, by table");

    public async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        foreach (var task in tasks)
        {
            int deleted;
            do
            {
                await using var connection = await database.OpenConnectionAsync(cancellationToken);
                deleted = await connection.ExecuteAsync(new CommandDefinition(
                    task.Sql, new { batch = Batch, retention = task.Retention }, cancellationToken: cancellationToken));
                _deleted.Add(deleted, new KeyValuePair<string, object?>("table", task.Table));
            }
            while (deleted == Batch);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        while (true)
        {
            try
            {
                await RunOnceAsync(stoppingToken);
            }
            catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception) && !stoppingToken.IsCancellationRequested)
            {
                LogLater(logger, exception.Message);
            }

            // replicas that started together drift apart
            await Task.Delay(Interval * (0.8 + Random.Shared.NextDouble() * 0.4), time, stoppingToken);
        }
    }

    [LoggerMessage(LogLevel.Debug, "Old rows are deleted later: {Reason}")]
    private static partial void LogLater(ILogger logger, string reason);
}
