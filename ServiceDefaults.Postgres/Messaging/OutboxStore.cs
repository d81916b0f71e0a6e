using System.Text.Json;
using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>The dispatcher's statements. Times are the database's, and writes to a claimed key are conditional on its lease.</summary>
internal sealed class OutboxStore(PostgresDatabase database, ProcessSession session, IOptions<MessagingOptions> options)
{
    private double LeaseSeconds => options.Value.Lease.TotalSeconds;

    private double MaxBackoffSeconds => options.Value.MaxBackoff.TotalSeconds;

    public async Task RegisterDestinationAsync(string destination, CancellationToken cancellationToken) =>
        await database.ExecuteAsync("insert into outbox_destinations (destination) values (@destination) on conflict do nothing", new { destination }, cancellationToken);

    /// <summary>Claims keys with messages due. None while the destination is unavailable.</summary>
    public Task<IReadOnlyList<ClaimedKey>> ClaimKeysAsync(string destination, Guid lease, int limit, CancellationToken cancellationToken) =>
        ClaimAsync("and not exists (select from outbox_destinations d where d.destination = @destination and d.failures > 0)", destination, lease, limit, cancellationToken);

    /// <summary>Claims one key for a trial of an unavailable destination. Only after <see cref="StartTrialAsync"/> returned true.</summary>
    public Task<IReadOnlyList<ClaimedKey>> ClaimTrialKeyAsync(string destination, Guid lease, CancellationToken cancellationToken) =>
        ClaimAsync("", destination, lease, limit: 1, cancellationToken);

    private async Task<IReadOnlyList<ClaimedKey>> ClaimAsync(string condition, string destination, Guid lease, int limit, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return (await connection.QueryAsync<ClaimedKey>(new CommandDefinition(
            $"""
            with due as (
              select k.destination, k.partition_key from outbox_keys k
              where k.destination = @destination and k.pending > 0 and not k.held and k.next_attempt_at <= now() and k.lease_until <= now() {condition}
              order by k.next_attempt_at
              limit @limit
              for update skip locked)
            update outbox_keys k set lease = @lease, lease_until = now() + make_interval(secs => @LeaseSeconds), owner = @owner
            from due where k.destination = due.destination and k.partition_key = due.partition_key
            returning k.destination, k.partition_key as PartitionKey, k.lease
            """, new { destination, limit, lease, owner = session.Id, LeaseSeconds }, cancellationToken: cancellationToken))).AsList();
    }

    /// <summary>Reads when the next key is due, and when an unavailable destination may be tried. Looks at the head of the backlog only.</summary>
    public async Task<DestinationState> GetStateAsync(string destination, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await connection.QuerySingleAsync<DestinationState>(new CommandDefinition(
            """
            select d.failures > 0 as Unavailable,
                   coalesce(extract(epoch from d.not_before - now()), 0)::float8 as TrialInSeconds,
                   (select extract(epoch from min(greatest(k.next_attempt_at, k.lease_until)) - now())::float8
                    from (select next_attempt_at, lease_until from outbox_keys
                          where destination = d.destination and pending > 0 and not held order by next_attempt_at limit 500) k) as DueInSeconds
            from outbox_destinations d where d.destination = @destination
            """, new { destination }, cancellationToken: cancellationToken));
    }

    /// <summary>Elects one process to probe a destination that was unavailable.</summary>
    public async Task<bool> StartTrialAsync(string destination, Guid trial, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            """
            update outbox_destinations set trial = @trial, trial_owner = @owner, not_before = now() + make_interval(secs => @LeaseSeconds)
            where destination = @destination and failures > 0 and not_before <= now()
            """, new { destination, trial, owner = session.Id, LeaseSeconds }, cancellationToken) == 1;

    /// <summary>Allows a trial now instead of at the end of the back-off, because the destination has recovered. False while a trial is in flight.</summary>
    public async Task<bool> AllowTrialAsync(string destination, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            "update outbox_destinations set not_before = now() where destination = @destination and failures > 0 and trial is null and not_before > now()",
            new { destination }, cancellationToken) == 1;

    /// <summary>Ends the trial without a result: there was no message to try with.</summary>
    public async Task AbandonTrialAsync(string destination, Guid trial, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            "update outbox_destinations set trial = null, not_before = now() where destination = @destination and trial = @trial",
            new { destination, trial }, cancellationToken);

    /// <summary>Releases keys and trials of dead processes before their leases expire. Returns their number.</summary>
    public async Task<int> ReleaseOrphanedAsync(string destination, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteScalarAsync<int>(new CommandDefinition(
            """
            with orphans as (
              select k.destination, k.partition_key from outbox_keys k
              where k.destination = @destination and k.pending > 0 and not k.held and k.lease_until > now()
                and k.owner is not null and not exists (select from processes p where p.id = k.owner)
              for update skip locked),
            keys as (
              update outbox_keys k set lease = null, lease_until = '-infinity', next_attempt_at = now(), owner = null
              from orphans where k.destination = orphans.destination and k.partition_key = orphans.partition_key
              returning 1),
            trials as (
              update outbox_destinations d set trial = null, trial_owner = null, not_before = now()
              where d.destination = @destination and d.trial is not null and d.trial_owner is not null and not exists (select from processes p where p.id = d.trial_owner)
              returning 1)
            select ((select count(*) from keys) + (select count(*) from trials))::int
            """, new { destination }, cancellationToken: cancellationToken));
    }

    public async Task<IReadOnlyList<StoredMessage>> GetHeadAsync(ClaimedKey key, int limit, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return (await connection.QueryAsync<StoredMessage>(new CommandDefinition(
            """
            select id, destination, partition_key as PartitionKey, sequence, type, subject, data, traceparent, correlation_id as CorrelationId, created_at as CreatedAt
            from outbox where destination = @Destination and partition_key = @PartitionKey and dead_at is null
            order by sequence limit @limit
            """, new { key.Destination, key.PartitionKey, limit }, cancellationToken: cancellationToken))).AsList();
    }

    /// <summary>Deletes an accepted message and extends the lease, or releases it after the key's last message. Returns the number of messages left, or null when the lease was lost.</summary>
    public async Task<int?> CompleteAsync(ClaimedKey key, Guid id, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        // The receiver has the message, so its row is deleted even if the lease was lost.
        var (pending, mine) = await connection.QuerySingleAsync<(int Pending, bool Mine)>(new CommandDefinition(
            """
            with taken as (delete from outbox where id = @id returning 1),
                 n as (select count(*)::int as n from taken)
            update outbox_keys k
            set pending = k.pending - n.n,
                failures = 0,
                next_attempt_at = now(),
                lease_until = case when k.lease is distinct from @Lease then k.lease_until
                                   when k.pending = n.n then '-infinity'
                                   else now() + make_interval(secs => @LeaseSeconds) end
            from n
            where k.destination = @Destination and k.partition_key = @PartitionKey
            returning k.pending, k.lease is not distinct from @Lease and k.lease_until > now()
            """, new { id, key.Destination, key.PartitionKey, key.Lease, LeaseSeconds }, cancellationToken: cancellationToken));
        return pending == 0 || mine ? pending : null;
    }

    public async Task ReleaseAsync(ClaimedKey key, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            """
            update outbox_keys set lease = null, lease_until = '-infinity', next_attempt_at = now()
            where destination = @Destination and partition_key = @PartitionKey and lease = @Lease
            """, new { key.Destination, key.PartitionKey, key.Lease }, cancellationToken);

    /// <summary>Releases all keys of a claim whose result was never received.</summary>
    public async Task ReleaseAsync(string destination, Guid lease, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            """
            update outbox_keys set lease = null, lease_until = '-infinity', next_attempt_at = now()
            where destination = @destination and pending > 0 and lease = @lease
            """, new { destination, lease }, cancellationToken);

    /// <summary>Backs off this key only: the receiver failed on its message.</summary>
    public async Task PostponeKeyAsync(ClaimedKey key, Guid id, string error, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            """
            with postponed as (
              update outbox_keys
              set failures = failures + 1,
                  next_attempt_at = now() + make_interval(secs => least(@MaxBackoffSeconds, 0.1 * 2 ^ least(failures, 20)) * (0.5 + random() / 2)),
                  lease = null, lease_until = '-infinity'
              where destination = @Destination and partition_key = @PartitionKey and lease = @Lease
              returning 1)
            update outbox set last_error = @error where id = @id and exists (select from postponed)
            """, new { key.Destination, key.PartitionKey, key.Lease, id, error, MaxBackoffSeconds }, cancellationToken);

    /// <summary>
    /// Backs off the destination: it is unavailable or overloaded, so all messages to it wait and one process at a time tries. Concurrent failures count once.
    /// </summary>
    public async Task PostponeDestinationAsync(ClaimedKey key, Guid? trial, string error, TimeSpan? retryAfter, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            """
            with released as (
              update outbox_keys set lease = null, lease_until = '-infinity', next_attempt_at = now()
              where destination = @Destination and partition_key = @PartitionKey and lease = @Lease)
            update outbox_destinations
            set failures = failures + 1,
                not_before = now() + make_interval(secs => greatest(least(@RetryAfterSeconds, @MaxBackoffSeconds),
                                                                   least(@MaxBackoffSeconds, 0.1 * 2 ^ least(failures, 20)) * (0.5 + random() / 2))),
                trial = null, last_error = @error, last_failure_at = now()
            where destination = @Destination and (trial = @trial or trial is null and not_before <= now())
            """,
            new { key.Destination, key.PartitionKey, key.Lease, trial, error, MaxBackoffSeconds, RetryAfterSeconds = (retryAfter ?? TimeSpan.Zero).TotalSeconds },
            cancellationToken);

    /// <summary>Ends the destination's back-off: it is available. True when it was considered unavailable until now.</summary>
    public async Task<bool> MarkAvailableAsync(string destination, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            """
            update outbox_destinations set failures = 0, not_before = '-infinity', trial = null, last_success_at = now()
            where destination = @destination and failures > 0
            """, new { destination }, cancellationToken) == 1;

    /// <summary>Makes a permanently refused message a dead letter. It stays in place and holds back its key, nothing else.</summary>
    public async Task MarkDeadAsync(ClaimedKey key, Guid id, string error, CancellationToken cancellationToken) =>
        await database.ExecuteAsync(
            """
            with held as (
              update outbox_keys set held = true, failures = 0, lease = null, lease_until = '-infinity'
              where destination = @Destination and partition_key = @PartitionKey and lease = @Lease
              returning 1)
            update outbox set dead_at = now(), refusals = refusals + 1, last_error = @error where id = @id and exists (select from held)
            """, new { key.Destination, key.PartitionKey, key.Lease, id, error }, cancellationToken);
}

internal sealed record ClaimedKey(string Destination, Guid PartitionKey, Guid Lease);

internal sealed record DestinationState(bool Unavailable, double TrialInSeconds, double? DueInSeconds);

internal sealed record StoredMessage(
    Guid Id, string Destination, Guid PartitionKey, long Sequence, string Type, string Subject, string Data, string? Traceparent, string? CorrelationId, DateTime CreatedAt);
