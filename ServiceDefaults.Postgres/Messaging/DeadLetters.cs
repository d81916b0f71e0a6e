using System.Text.Json;
using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>A message that its receiver refused permanently. It holds back later messages of its key until it is redriven or discarded.</summary>
public sealed record DeadLetter(
    Guid Id, string Destination, string Type, string Subject, Guid PartitionKey, long Sequence, DateTimeOffset CreatedAt, DateTimeOffset DeadAt, int Refusals, JsonElement Data,
    string? CorrelationId = null, string? LastError = null);

/// <summary>Lists, redrives and discards dead letters, optionally only those of the given partition keys.</summary>
public sealed class DeadLetters(PostgresDatabase database, Outbox outbox)
{
    /// <summary>Lists dead letters after the id <paramref name="after"/>, oldest first.</summary>
    public Task<IReadOnlyList<DeadLetter>> ListAsync(
        Guid? after, int limit, IReadOnlyCollection<Guid>? keys, CancellationToken cancellationToken) => database.ReadAsync<IReadOnlyList<DeadLetter>>(async connection =>
    {
        var rows = await connection.QueryAsync<Row>(new CommandDefinition(
            """
            select id, destination, type, subject, partition_key as PartitionKey, sequence, correlation_id as CorrelationId,
                   created_at as CreatedAt, dead_at as DeadAt, refusals, last_error as LastError, data
            from outbox where dead_at is not null and (@after::uuid is null or id > @after)
              and (@keys::uuid[] is null or partition_key = any(@keys))
            order by id limit @limit
            """, new { after, limit, keys = keys?.ToArray() }, cancellationToken: cancellationToken));
        return [.. rows.Select(row => new DeadLetter(
            row.Id, row.Destination, row.Type, row.Subject, row.PartitionKey, row.Sequence,
            new(row.CreatedAt, TimeSpan.Zero), new(row.DeadAt, TimeSpan.Zero), row.Refusals, JsonSerializer.Deserialize<JsonElement>(row.Data), row.CorrelationId, row.LastError))];
    }, cancellationToken);

    /// <summary>Sends dead letters again: the one of <paramref name="id"/>, all of <paramref name="type"/>, or all. Returns their number.</summary>
    public async Task<int> RedriveAsync(Guid? id, string? type, IReadOnlyCollection<Guid>? keys, CancellationToken cancellationToken)
    {
        var redriven = await database.ExecuteAsync(
            """
            with redriven as (
              update outbox set dead_at = null
              where dead_at is not null and (@id::uuid is null or id = @id) and (@type::text is null or type = @type)
                and (@keys::uuid[] is null or partition_key = any(@keys))
              returning destination, partition_key)
            update outbox_keys k set held = false, failures = 0, next_attempt_at = now()
            from redriven r where k.destination = r.destination and k.partition_key = r.partition_key
            """, new { id, type, keys = keys?.ToArray() }, cancellationToken);
        outbox.Wake();
        return redriven;
    }

    /// <summary>Deletes a dead letter, so that later messages of its key are sent. False when there is none of that id.</summary>
    public async Task<bool> DiscardAsync(Guid id, IReadOnlyCollection<Guid>? keys, CancellationToken cancellationToken)
    {
        var discarded = await database.ExecuteAsync(
            """
            with discarded as (
              delete from outbox where id = @id and dead_at is not null and (@keys::uuid[] is null or partition_key = any(@keys)) returning destination, partition_key)
            update outbox_keys k set held = false, failures = 0, next_attempt_at = now(), pending = k.pending - 1
            from discarded d where k.destination = d.destination and k.partition_key = d.partition_key
            """, new { id, keys = keys?.ToArray() }, cancellationToken);
        outbox.Wake();
        return discarded == 1;
    }

    private sealed record Row(
        Guid Id, string Destination, string Type, string Subject, Guid PartitionKey, long Sequence, string? CorrelationId,
        DateTime CreatedAt, DateTime DeadAt, int Refusals, string? LastError, string Data);
}
