using System.Collections.Concurrent;
using System.Threading.Channels;
using Dapper;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// Wakes code that waits for new rows: in this process at once, in others by one coalesced NOTIFY. Signals can get lost while the database is unavailable, so waiting code also
/// polls.
/// </summary>
public sealed partial class Signals(
    NpgsqlDataSource dataSource, [FromKeyedServices(PostgresDatabase.Sessions)] NpgsqlDataSource sessions, DatabaseMigrations migrations, TimeProvider time, ILogger<Signals> logger) : BackgroundService
{
    // One channel for all signals, so that new names need no new LISTEN.
    private const string PostgresChannel = "platform_signals";

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    private static readonly TimeSpan PingAfter = TimeSpan.FromSeconds(15);

    private readonly ConcurrentDictionary<string, Signal> _signals = new(StringComparer.Ordinal);
    private readonly Channel<Signal> _dirty = Channel.CreateUnbounded<Signal>(new UnboundedChannelOptions { SingleReader = true });
    private readonly string _instance = Guid.NewGuid().ToString("n");

    /// <summary>The signal of that name.</summary>
    public Signal this[string name] => _signals.GetOrAdd(name, key => new Signal(key, time, signal => _dirty.Writer.TryWrite(signal)));

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        await Task.WhenAll(ListenAsync(stoppingToken), NotifyAsync(stoppingToken));
    }

    private async Task ListenAsync(CancellationToken cancellationToken)
    {
        DateTime? serverStarted = null;
        while (true)
        {
            var isListening = false;
            try
            {
                using var session = new SeparateCancellation(cancellationToken);
                await using var connection = await sessions.OpenConnectionAsync(session.Token);
                connection.Notification += (_, notification) => Received(notification.Payload);
                var started = await connection.ExecuteScalarAsync<DateTime>(new CommandDefinition("select pg_postmaster_start_time()", cancellationToken: session.Token));
                if (started != serverStarted)
                {
                    // The server may have been restarted while nobody listened.
                    dataSource.Clear();
                    serverStarted = started;
                }

                await connection.ExecuteAsync(new CommandDefinition($"listen {PostgresChannel}", cancellationToken: session.Token));
                isListening = true;
                // Signals may have been missed while not listening.
                foreach (var signal in _signals.Values)
                {
                    signal.Wake();
                }

                await ProcessSession.WaitUntilLostAsync(connection, PingAfter, session.Token);
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                // An established session that is lost means that idle pooled connections are most likely lost too; discard them before requests fail on them. Failing to connect
                // to a full server says nothing about them.
                if (isListening)
                {
                    dataSource.Clear();
                }

                LogDeaf(logger, exception.Message);
                await Task.Delay(TimeSpan.FromMilliseconds(500), time, cancellationToken);
            }
        }
    }

    // NOTIFY takes an instance-wide lock at commit. So it is sent outside of the transactions that do the work, and once per burst.
    private async Task NotifyAsync(CancellationToken cancellationToken)
    {
        while (await _dirty.Reader.WaitToReadAsync(cancellationToken))
        {
            var names = new HashSet<string>(StringComparer.Ordinal);
            while (_dirty.Reader.TryRead(out var signal))
            {
                signal.Sending();
                names.Add(signal.Name);
            }

            try
            {
                await using var command = dataSource.CreateCommand("select pg_notify($1, name) from unnest($2) as name");
                command.Parameters.Add(new() { Value = PostgresChannel });
                command.Parameters.Add(new() { Value = names.Select(name => $"{_instance} {name}").ToArray() });
                await command.ExecuteNonQueryAsync(cancellationToken);
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                LogMute(logger, exception.Message);
            }

            // The first signal is sent at once, those that follow within the pause together.
            await Task.Delay(Pause, time, cancellationToken);
        }
    }

    private void Received(string payload)
    {
        if (payload.Split(' ', 2) is [var instance, var name] && instance != _instance && _signals.TryGetValue(name, out var signal))
        {
            signal.Wake();
        }
    }

    [LoggerMessage(LogLevel.Debug, "No session that listens for signals, connecting again: {Reason}")]
    private static partial void LogDeaf(ILogger logger, string reason);

    [LoggerMessage(LogLevel.Debug, "Could not send a signal, other processes will poll instead: {Reason}")]
    private static partial void LogMute(ILogger logger, string reason);
}

/// <summary>Signals that something may have changed in the database. Read <see cref="Version"/>, query, then wait for a later version.</summary>
public sealed class Signal
{
    private readonly TimeProvider _time;
    private readonly Action<Signal> _notify;
    private readonly Lock _lock = new();
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _version;
    private int _queued;

    internal Signal(string name, TimeProvider time, Action<Signal> notify) => (Name, _time, _notify) = (name, time, notify);

    /// <summary>The signal's name.</summary>
    public string Name { get; }

    /// <summary>Incremented by every signal. Read it before querying the database, so that no change in between is missed.</summary>
    public long Version => Interlocked.Read(ref _version);

    /// <summary>Call after committing a change: wakes waiters in this process at once, and in others soon.</summary>
    public void Set()
    {
        Wake();
        if (Interlocked.Exchange(ref _queued, 1) == 0)
        {
            _notify(this);
        }
    }

    /// <summary>Completes on a signal later than version <paramref name="seen"/>, or after <paramref name="atMost"/>.</summary>
    public async Task WaitAsync(long seen, TimeSpan atMost, CancellationToken cancellationToken)
    {
        Task next;
        lock (_lock)
        {
            if (_version != seen)
            {
                return;
            }

            next = _next.Task;
        }

        try
        {
            await next.WaitAsync(atMost, _time, cancellationToken);
        }
        catch (TimeoutException)
        {
            // Time to poll.
        }
    }

    internal void Wake()
    {
        TaskCompletionSource woken;
        lock (_lock)
        {
            Interlocked.Increment(ref _version);
            woken = _next;
            _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        woken.TrySetResult();
    }

    internal void Sending() => Volatile.Write(ref _queued, 0);
}
