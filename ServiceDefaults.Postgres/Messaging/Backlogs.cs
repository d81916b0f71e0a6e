using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>The backlog of messages to one destination.</summary>
/// <param name="Destination">The receiving service.</param>
/// <param name="Waiting">Messages waiting, including those behind a dead letter.</param>
/// <param name="DeadLetters">Messages refused permanently.</param>
/// <param name="Away">Whether the destination is considered unavailable.</param>
/// <param name="OldestAt">When the oldest message waiting, not counting those behind a dead letter, was created, UTC; null when there is none.</param>
/// <param name="LastError">Why it is unavailable, or null.</param>
public sealed record Backlog(string Destination, int Waiting, int DeadLetters, bool Away, DateTimeOffset? OldestAt = null, string? LastError = null);

/// <summary>Reads the backlogs of the outbox.</summary>
public sealed class Backlogs(PostgresDatabase database)
{
    /// <summary>The backlog of each destination, by name.</summary>
    public Task<IReadOnlyList<Backlog>> ListAsync(CancellationToken cancellationToken) => database.ReadAsync<IReadOnlyList<Backlog>>(async connection =>
    {
        var rows = await connection.QueryAsync<(string Destination, int Waiting, DateTime? OldestAt, int DeadLetters, bool Away, string? LastError)>(new CommandDefinition(
            """
            select d.destination, count(o.id) filter (where o.dead_at is null)::int, min(o.created_at) filter (where o.dead_at is null and not k.held),
                   count(o.id) filter (where o.dead_at is not null)::int, d.failures > 0, case when d.failures > 0 then d.last_error end
            from outbox_destinations d left join outbox o on o.destination = d.destination
              left join outbox_keys k on k.destination = o.destination and k.partition_key = o.partition_key
            group by d.destination
            order by d.destination
            """, cancellationToken: cancellationToken));
        return [.. rows.Select(row => new Backlog(row.Destination, row.Waiting, row.DeadLetters, row.Away, row.OldestAt is { } oldest ? new(oldest, TimeSpan.Zero) : null, row.LastError))];
    }, cancellationToken);
}
