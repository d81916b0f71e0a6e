using System.Reflection;
using Dapper;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// Shows other processes that this one is alive: a database session that holds an advisory lock. When the process is killed, the server ends the session and releases the lock
/// at once. When only the session is lost, the process continues under a new identity, and others release what it claimed under the old one.
/// </summary>
public sealed partial class ProcessSession(
    [FromKeyedServices(PostgresDatabase.Sessions)] NpgsqlDataSource sessions, DatabaseMigrations migrations, IHostEnvironment environment, TimeProvider time, ILogger<ProcessSession> logger)
    : BackgroundService, IHostedLifecycleService
{
    /// <summary>First key of the advisory locks: any number that nothing else in the database uses.</summary>
    internal const int LockClass = 0x6465706C;

    private static readonly TimeSpan Ping = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Reconnect = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromMilliseconds(500);

    private TaskCompletionSource<Guid> _held = New();

    /// <summary>The identity under which this process claims work, or null while it has none.</summary>
    public Guid? Id => _held.Task is { IsCompletedSuccessfully: true } held ? held.Result : null;

    /// <summary>Waits for an identity.</summary>
    public Task<Guid> GetIdAsync(CancellationToken cancellationToken) => Volatile.Read(ref _held).Task.WaitAsync(cancellationToken);

    /// <summary>Does nothing yet: other background services may still be releasing their claims.</summary>
    public override Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Ends the session, after everything else has stopped.</summary>
    public Task StoppedAsync(CancellationToken cancellationToken) => base.StopAsync(cancellationToken);

    /// <inheritdoc />
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await migrations.WaitAsync(stoppingToken);
            while (true)
            {
                try
                {
                    using var session = new SeparateCancellation(stoppingToken);
                    await HoldAsync(session.Token);
                }
                catch (Exception e) when (!stoppingToken.IsCancellationRequested)
                {
                    LogLost(logger, DatabaseProblems.IsUnavailable(e) ? null : e, e.Message);
                }
                finally
                {
                    if (Id is not null)
                        Volatile.Write(ref _held, New());
                }

                await Task.Delay(Reconnect, time, stoppingToken);
            }
        }
        catch (Exception) when (stoppingToken.IsCancellationRequested)
        {
            // Stopping: failures no longer matter.
        }
    }

    private static TaskCompletionSource<Guid> New() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task HoldAsync(CancellationToken cancellationToken)
    {
        await using var connection = await sessions.OpenConnectionAsync(cancellationToken);
        var id = Guid.CreateVersion7(time.GetUtcNow());
        var key = await connection.ExecuteScalarAsync<int>(new CommandDefinition("select nextval('process_lock_keys')::int", cancellationToken: cancellationToken));
        // The lock before the row, because a row with a free lock belongs to a dead process.
        await connection.ExecuteAsync(new CommandDefinition("select pg_advisory_lock(@LockClass, @key)", new { LockClass, key }, cancellationToken: cancellationToken));
        await connection.ExecuteAsync(new CommandDefinition(
            "insert into processes (id, lock_key, service, host, process_id, version) values (@id, @key, @service, @host, @ProcessId, @version)",
            new { id, key, service = environment.ApplicationName, host = Environment.MachineName, Environment.ProcessId, version = Version }, cancellationToken: cancellationToken));
        Volatile.Read(ref _held).SetResult(id);
        LogRegistered(logger, id);
        try
        {
            await WaitUntilLostAsync(connection, Ping, cancellationToken);
        }
        finally
        {
            if (cancellationToken.IsCancellationRequested)
                await LeaveAsync(connection, id);
        }
    }

    /// <summary>Throws at once when the session ends. The ping detects a server that vanished without closing the connection.</summary>
    internal static async Task WaitUntilLostAsync(NpgsqlConnection connection, TimeSpan pingAfter, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (!await connection.WaitAsync(pingAfter, cancellationToken))
                await connection.ExecuteAsync(new CommandDefinition("select 1", cancellationToken: cancellationToken));
        }
    }

    private static async Task LeaveAsync(NpgsqlConnection connection, Guid id)
    {
        using var deadline = new CancellationTokenSource(LeaveTimeout);
        try
        {
            await connection.ExecuteAsync(new CommandDefinition("delete from processes where id = @id", new { id }, cancellationToken: deadline.Token));
        }
        catch (Exception e) when (e is NpgsqlException or OperationCanceledException)
        {
            // The lock ends with the session, and ForgetDeadProcesses deletes the row.
        }
    }

    private static string Version => Assembly.GetEntryAssembly()?.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    [LoggerMessage(LogLevel.Information, "Registered this process as {Id}")]
    private static partial void LogRegistered(ILogger logger, Guid id);

    [LoggerMessage(LogLevel.Warning, "Lost this process's session, registering again: {Reason}")]
    private static partial void LogLost(ILogger logger, Exception? exception, string reason);
}

/// <summary>Deletes the registrations of dead processes. Claims of processes that are not registered may then be released by anyone.</summary>
public sealed class ForgetDeadProcesses(PostgresDatabase database, Signals signals)
{
    /// <summary>The signal that processes have died.</summary>
    public const string SignalName = "processes";

    private const int Batch = 50;

    /// <summary>Deletes the rows of processes whose sessions have ended.</summary>
    public async Task ExecuteAsync(CancellationToken cancellationToken)
    {
        // Getting a process's lock proves that its session has ended. The lock is released at the end of this statement.
        var forgotten = await database.ExecuteAsync(
            $"""
            delete from processes where id in (
              select id from processes where pg_try_advisory_xact_lock({ProcessSession.LockClass}, lock_key) limit {Batch} for update skip locked)
            """, parameters: null, cancellationToken);
        if (forgotten > 0)
            signals[SignalName].Set();
    }
}
