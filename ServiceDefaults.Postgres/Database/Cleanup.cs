using System.Diagnostics.Metrics;
using Platform.ServiceDefaults.Observability;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>A table with expired rows. <paramref name="Sql"/> deletes up to <c>@batch</c> of them, older than <c>@retention</c>.</summary>
internal sealed record CleanupTask(string Table, string Sql, TimeSpan Retention);

/// <summary>Deletes expired rows every few minutes, in batches small enough not to block others. Safe to run on any number of replicas.</summary>
internal sealed partial class Cleanup(
    PostgresDatabase database, DatabaseMigrations migrations, IEnumerable<CleanupTask> tasks, IMeterFactory meters, TimeProvider time, ILogger<Cleanup> logger)
    : BackgroundService
{
    private const int Batch = 1_000;

    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(5);

    private readonly Counter<long> _deleted = meters.CreateMeter("database")
        .CreateCounter<long>("platform.database.cleanup.deleted", "{row}", "Expired rows deleted, by table");

    public async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        foreach (var task in tasks)
        {
            int deleted;
            do
            {
                deleted = await database.ExecuteAsync(task.Sql, new { batch = Batch, retention = task.Retention }, cancellationToken);
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

            // Jitter, so that replicas that started together don't all run at once.
            await Task.Delay(Interval * (0.8 + Random.Shared.NextDouble() * 0.4), time, stoppingToken);
        }
    }

    [LoggerMessage(LogLevel.Debug, "Could not delete expired rows, trying again later: {Reason}")]
    private static partial void LogLater(ILogger logger, string reason);
}
