using System.Reflection;
using Dapper;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Deployments;

/// <summary>
/// This process's sign of life: a database session that holds an advisory lock. When the process is killed, the server ends the session and
/// with it the lock, at once. When only the session is lost, the process carries on under a new identity, and what it held under the old one is
/// taken from it like a dead worker's.
/// </summary>
internal sealed partial class WorkerSession(
    NpgsqlDataSource dataSource, DatabaseMigrations migrations, Signals signals, TimeProvider time, ILogger<WorkerSession> logger)
{
    /// <summary>First key of the advisory locks; "depl" in ASCII.</summary>
    public const int LockClass = 0x6465706C;

    private static readonly TimeSpan Ping = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Reconnect = TimeSpan.FromMilliseconds(250);

    /// <summary>The identity under which this process claims, or null while it has none.</summary>
    public Guid? Worker { get; private set; }

    /// <summary>Keeps the session until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            await migrations.WaitAsync(cancellationToken);
            while (true)
            {
                try
                {
                    await HoldAsync(cancellationToken);
                }
                catch (Exception e) when (!cancellationToken.IsCancellationRequested)
                {
                    LogLost(logger, DatabaseProblems.IsUnavailable(e) ? null : e, e.Message);
                }
                finally
                {
                    Worker = null;
                }

                await Task.Delay(Reconnect, time, cancellationToken);
            }
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // Stopping, whatever was being done.
        }
    }

    private async Task HoldAsync(CancellationToken cancellationToken)
    {
        await using var connection = await dataSource.OpenConnectionAsync(cancellationToken);
        var worker = Guid.CreateVersion7(time.GetUtcNow());
        var key = await connection.ExecuteScalarAsync<int>(new CommandDefinition("select nextval('worker_lock_keys')::int", cancellationToken: cancellationToken));
        // First the lock, then the row: a row whose lock is free is a dead worker's.
        await connection.ExecuteAsync(new CommandDefinition("select pg_advisory_lock(@LockClass, @key)", new { LockClass, key }, cancellationToken: cancellationToken));
        await connection.ExecuteAsync(new CommandDefinition(
            "insert into workers (id, lock_key, host, process_id, version) values (@worker, @key, @host, @ProcessId, @version)",
            new { worker, key, host = Environment.MachineName, Environment.ProcessId, version = Version }, cancellationToken: cancellationToken));
        Worker = worker;
        LogRegistered(logger, worker);
        signals[DeploymentWorker.SignalName].Set();
        try
        {
            while (true)
            {
                await Task.Delay(Ping, time, cancellationToken);
                await connection.ExecuteAsync(new CommandDefinition("select 1", cancellationToken: cancellationToken));
            }
        }
        finally
        {
            if (cancellationToken.IsCancellationRequested)
                await LeaveAsync(connection, worker);
        }
    }

    private static async Task LeaveAsync(NpgsqlConnection connection, Guid worker)
    {
        try
        {
            await connection.ExecuteAsync("delete from workers where id = @worker", new { worker }, commandTimeout: 1);
        }
        catch (NpgsqlException)
        {
            // The lock goes with the session, and the row with the next look for orphans.
        }
    }

    private static string Version => typeof(WorkerSession).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    [LoggerMessage(LogLevel.Information, "Worker {Worker} takes deployments")]
    private static partial void LogRegistered(ILogger logger, Guid worker);

    [LoggerMessage(LogLevel.Warning, "The worker's session is lost: {Reason}")]
    private static partial void LogLost(ILogger logger, Exception? exception, string reason);
}
