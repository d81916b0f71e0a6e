using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>What is to be sent to one destination.</summary>
/// <param name="Destination">The service that is to get it.</param>
/// <param name="Waiting">Messages that wait, also those behind a dead letter.</param>
/// <param name="DeadLetters">Messages that were refused for good.</param>
/// <param name="Away">Whether the destination is thought to be away.</param>
/// <param name="OldestAt">When the first that waits for its destination, and not behind a dead letter, was sent, UTC; null when none does.</param>
/// <param name="LastError">Why, when it is.</param>
public sealed record Backlog(string Destination, int Waiting, int DeadLetters, bool Away, DateTimeOffset? OldestAt = null, string? LastError = null);

/// <summary>Shows how much waits in the outbox.</summary>
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
