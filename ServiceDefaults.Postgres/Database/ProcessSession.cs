using System.Reflection;
using Dapper;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// This process's sign of life: a database session that holds an advisory lock. When the process is killed, the server ends the session and
/// with it the lock, at once. When only the session is lost, the process carries on under a new identity, and what it held under the old one is
/// taken from it like a dead one's.
/// </summary>
public sealed partial class ProcessSession(
    [FromKeyedServices(PostgresDatabase.Sessions)] NpgsqlDataSource sessions, DatabaseMigrations migrations, IHostEnvironment environment, TimeProvider time, ILogger<ProcessSession> logger)
    : BackgroundService, IHostedLifecycleService
{
    /// <summary>First key of the advisory locks; any number that nothing else in the database uses.</summary>
    internal const int LockClass = 0x6465706C;

    private static readonly TimeSpan Ping = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Reconnect = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromMilliseconds(500);

    private TaskCompletionSource<Guid> _held = New();

    /// <summary>The identity under which this process claims, or null while it has none.</summary>
    public Guid? Id => _held.Task is { IsCompletedSuccessfully: true } held ? held.Result : null;

    /// <summary>The identity under which this process claims, as soon as it has one.</summary>
    public Task<Guid> GetIdAsync(CancellationToken cancellationToken) => Volatile.Read(ref _held).Task.WaitAsync(cancellationToken);

    /// <summary>Does nothing yet: whoever claims under the identity may still be giving back what it has.</summary>
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
            // Stopping, whatever was being done.
        }
    }

    private static TaskCompletionSource<Guid> New() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task HoldAsync(CancellationToken cancellationToken)
    {
        await using var connection = await sessions.OpenConnectionAsync(cancellationToken);
        var id = Guid.CreateVersion7(time.GetUtcNow());
        var key = await connection.ExecuteScalarAsync<int>(new CommandDefinition("select nextval('process_lock_keys')::int", cancellationToken: cancellationToken));
        // First the lock, then the row: a row whose lock is free is a dead process's.
        await connection.ExecuteAsync(new CommandDefinition("select pg_advisory_lock(@LockClass, @key)", new { LockClass, key }, cancellationToken: cancellationToken));
        await connection.ExecuteAsync(new CommandDefinition(
            "insert into processes (id, lock_key, service, host, process_id, version) values (@id, @key, @service, @host, @ProcessId, @version)",
            new { id, key, service = environment.ApplicationName, host = Environment.MachineName, Environment.ProcessId, version = Version }, cancellationToken: cancellationToken));
        Volatile.Read(ref _held).SetResult(id);
        LogRegistered(logger, id);
        try
        {
            while (true)
            {
                // A session that is ended says so at once, and nothing is claimed any more that others would take away; a server that vanished without a word is found out by asking.
                if (!await connection.WaitAsync(Ping, cancellationToken))
                    await connection.ExecuteAsync(new CommandDefinition("select 1", cancellationToken: cancellationToken));
            }
        }
        finally
        {
            if (cancellationToken.IsCancellationRequested)
                await LeaveAsync(connection, id);
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
            // The lock goes with the session, and the row with the next look for dead processes.
        }
    }

    private static string Version => Assembly.GetEntryAssembly()?.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    [LoggerMessage(LogLevel.Information, "This process is known to the others as {Id}")]
    private static partial void LogRegistered(ILogger logger, Guid id);

    [LoggerMessage(LogLevel.Warning, "This process's session is lost: {Reason}")]
    private static partial void LogLost(ILogger logger, Exception? exception, string reason);
}

/// <summary>Finds out which processes are gone. Any process does it for all; what the dead ones held is then free to whoever looks for claims without a process.</summary>
public sealed class ForgetDeadProcesses(PostgresDatabase database, Signals signals)
{
    /// <summary>The signal for those who look for what a dead process held.</summary>
    public const string SignalName = "processes";

    private const int Batch = 50;

    /// <summary>Deletes the rows of processes whose sessions are gone.</summary>
    public async Task ExecuteAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        // Who gets the lock of a process knows that its session is gone. The lock ends with this statement.
        var forgotten = await connection.ExecuteAsync(new CommandDefinition(
            $"""
            delete from processes where id in (
              select id from processes where pg_try_advisory_xact_lock({ProcessSession.LockClass}, lock_key) limit {Batch} for update skip locked)
            """, cancellationToken: cancellationToken));
        if (forgotten > 0)
            signals[SignalName].Set();
    }
}
