using System.Collections.Concurrent;
using System.Threading.Channels;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>
/// Wakes whoever waits for rows in a table, in this process at once and in all others by one coalesced NOTIFY. A signal can get lost (the
/// database was away), so who waits also polls.
/// </summary>
public sealed partial class Signals(
    NpgsqlDataSource dataSource, [FromKeyedServices(PostgresDatabase.Sessions)] NpgsqlDataSource sessions, DatabaseMigrations migrations, TimeProvider time, ILogger<Signals> logger) : BackgroundService
{
    // one channel for all signals: a name added later needs no new LISTEN
    private const string PostgresChannel = "platform_signals";

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    private static readonly TimeSpan SilenceBeforeAsking = TimeSpan.FromSeconds(15);

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
        while (!cancellationToken.IsCancellationRequested)
        {
            var listens = false;
            try
            {
                using var session = new SeparateCancellation(cancellationToken);
                await using var connection = await sessions.OpenConnectionAsync(session.Token);
                connection.Notification += (_, notification) => Received(notification.Payload);
                await using (var listen = new NpgsqlCommand($"listen {PostgresChannel}", connection))
                {
                    await listen.ExecuteNonQueryAsync(session.Token);
                }

                listens = true;
                // whatever was sent while nobody listened
                foreach (var signal in _signals.Values)
                {
                    signal.Wake();
                }

                while (true)
                {
                    // a server that vanished without a word is found out by asking
                    if (!await connection.WaitAsync(SilenceBeforeAsking, session.Token))
                    {
                        await using var ask = new NpgsqlCommand("select 1", connection);
                        await ask.ExecuteScalarAsync(session.Token);
                    }
                }
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                // Who loses a session has most likely lost the pool's idle connections too, and no request is to find that out. Who gets none, of a server that is full, keeps them.
                if (listens)
                {
                    dataSource.Clear();
                }

                LogDeaf(logger, exception.Message);
                await Task.Delay(TimeSpan.FromMilliseconds(500), time, cancellationToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    // NOTIFY takes an instance-wide lock at commit, so it stays out of the transactions that do the work, and a burst sends one
    private async Task NotifyAsync(CancellationToken cancellationToken)
    {
        try
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

                // the first signal goes at once, those that follow it closely go together
                await Task.Delay(Pause, time, cancellationToken);
            }
        }
        catch (OperationCanceledException)
        {
            // stopping
        }
    }

    private void Received(string payload)
    {
        if (payload.Split(' ', 2) is [var instance, var name] && instance != _instance && _signals.TryGetValue(name, out var signal))
        {
            signal.Wake();
        }
    }

    [LoggerMessage(LogLevel.Debug, "Not listening for signals: {Reason}")]
    private static partial void LogDeaf(ILogger logger, string reason);

    [LoggerMessage(LogLevel.Debug, "A signal was not sent, the poll makes up for it: {Reason}")]
    private static partial void LogMute(ILogger logger, string reason);
}

/// <summary>Something that may have changed in the database. Read <see cref="Version"/>, look, then wait for a later version.</summary>
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

    /// <summary>Grows with every signal. Take it before looking at the database, so that nothing that comes in between is missed.</summary>
    public long Version => Interlocked.Read(ref _version);

    /// <summary>Call after the commit that changed something: wakes waiters here at once, and those of other processes soon.</summary>
    public void Set()
    {
        Wake();
        if (Interlocked.Exchange(ref _queued, 1) == 0)
        {
            _notify(this);
        }
    }

    /// <summary>Completes when there was a signal after version <paramref name="seen"/>, or after <paramref name="atMost"/>.</summary>
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
            // the poll
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
