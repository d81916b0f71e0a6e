using System.Collections.Concurrent;
using System.Threading.Channels;
using Dapper;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Stores;

/// <summary>
/// Polls the database for changes that other processes made to stores, and applies them: at once to the stores that are in memory here, then to the copies of the others on disk.
/// </summary>
internal sealed partial class PollStoreChanges(
    StoreDirectory directory, PostgresDatabase database, DatabaseMigrations migrations, Signals signals, IOptions<StoreOptions> options, TimeProvider time, ILogger<PollStoreChanges> logger) : BackgroundService
{
    // Copying the files of a large store takes time. The others don't wait for it.
    private const int Workers = 4;

    // A process was rarely stopped for longer, so this is what it missed; other stale copies on disk are found in the background.
    private static readonly TimeSpan BeforeStart = TimeSpan.FromMinutes(10);
    // Transactions of different shops may commit out of order of changed_at, so each poll re-reads the last 30 s. At a signal 1 s is enough: the next poll catches the rest.
    private static readonly TimeSpan Overlap = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan OverlapAtSignal = TimeSpan.FromSeconds(1);

    private readonly Channel<StoreChange> _changes = Channel.CreateUnbounded<StoreChange>();
    private readonly ConcurrentQueue<StoreChange> _failed = new();
    private readonly Dictionary<string, DateTimeOffset> _seen = [];
    private DateTimeOffset? _latest;
    private long _lastPoll;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        await Task.WhenAll(Enumerable.Range(0, Workers).Select(_ => ApplyAsync(stoppingToken)).Append(PollAsync(stoppingToken)));
    }

    private async Task PollAsync(CancellationToken cancellationToken)
    {
        var signal = signals[StoreDirectory.SignalName];
        while (true)
        {
            var seen = signal.Version;
            try
            {
                await ReadChangesAsync(cancellationToken);
                directory.ChangesAreKnown();
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                directory.ChangesAreUnknown();
                LogFailure(logger, DatabaseProblems.IsUnavailable(e) ? null : e, e.Message);
            }

            await signal.WaitAsync(seen, options.Value.PollInterval, cancellationToken);
        }
    }

    private async Task ReadChangesAsync(CancellationToken cancellationToken)
    {
        var now = time.GetTimestamp();
        var atSignal = _latest is not null && time.GetElapsedTime(_lastPoll, now) < options.Value.PollInterval;
        var (readAt, changes) = await ReadAsync(_latest - (atSignal ? OverlapAtSignal : Overlap), cancellationToken);
        _latest ??= readAt;
        while (_failed.TryDequeue(out var failed))
            _changes.Writer.TryWrite(failed);
        foreach (var change in changes.Where(change => !_seen.TryGetValue(change.Slug, out var seen) || seen < change.ChangedAt))
        {
            _seen[change.Slug] = change.ChangedAt;
            _changes.Writer.TryWrite(change);
            if (change.ChangedAt > _latest)
                _latest = change.ChangedAt;
        }

        if (atSignal)
            return;
        _lastPoll = now;
        foreach (var (slug, changedAt) in _seen)
        {
            if (changedAt < _latest - Overlap)
                _seen.Remove(slug);
        }
    }

    // Live and taken-down stores that changed after `since`, or shortly before this process started, oldest change first, and the time of the database.
    private async Task<(DateTimeOffset ReadAt, IReadOnlyList<StoreChange> Changes)> ReadAsync(DateTimeOffset? since, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var results = await connection.QueryMultipleAsync(new CommandDefinition(
            """
            select now();
            select slug, max(changed_at) from stores
            where (active_release is not null or taken_down_at is not null) and changed_at > coalesce(@since::timestamptz, now() - @BeforeStart)
            group by slug order by max(changed_at)
            """, new { since = since?.UtcDateTime, BeforeStart }, cancellationToken: cancellationToken));
        var readAt = await results.ReadSingleAsync<DateTime>();
        return (new DateTimeOffset(readAt), [.. (await results.ReadAsync<(string Slug, DateTime ChangedAt)>()).Select(row => new StoreChange(row.Slug, new DateTimeOffset(row.ChangedAt)))]);
    }

    private async Task ApplyAsync(CancellationToken cancellationToken)
    {
        await foreach (var change in _changes.Reader.ReadAllAsync(cancellationToken))
        {
            try
            {
                await directory.ApplyAsync(change, cancellationToken);
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                // The next poll tries again.
                _failed.Enqueue(change);
                LogNotApplied(logger, DatabaseProblems.IsUnavailable(e) ? null : e, change.Slug, e.Message);
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "Could not read store changes: {Reason}")]
    private static partial void LogFailure(ILogger logger, Exception? exception, string reason);

    [LoggerMessage(LogLevel.Warning, "Could not apply a change of store {Slug}, the next poll will try again: {Reason}")]
    private static partial void LogNotApplied(ILogger logger, Exception? exception, string slug, string reason);
}
