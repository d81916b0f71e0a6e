using System.Diagnostics;
using System.Text.Json;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Stores messages in the transaction that they are about. They are sent after its commit, until their receiver accepts them.</summary>
public sealed class Outbox(Signals signals, TimeProvider time)
{
    internal const string SignalName = "outbox";

    /// <summary>The signal that <paramref name="destination"/> may have become available or unavailable.</summary>
    internal static string StateSignalName(string destination) => $"outbox:{destination}";

    /// <summary>
    /// Adds a message to the transaction, with the current trace and correlation id. Messages of one <paramref name="partitionKey"/> to one destination arrive in the order in which
    /// their transactions commit. Call <see cref="Wake"/> after the commit, unless the inbox or <see cref="Idempotency.Idempotency"/> commit, which do so themselves.
    /// </summary>
    /// <returns>The message's id, a UUIDv7.</returns>
    public async Task<Guid> EnqueueAsync(
        NpgsqlTransaction transaction, string destination, string type, Guid partitionKey, string subject, object data, CancellationToken cancellationToken)
    {
        var enqueue = Enqueue(destination, type, partitionKey, subject, data, out var id);
        await enqueue.ExecuteAsync(transaction, cancellationToken);
        return id;
    }

    /// <summary>The statements of <see cref="EnqueueAsync"/>, to be combined with others. Their parameters begin with <c>message</c>.</summary>
    public Statements Enqueue(string destination, string type, Guid partitionKey, string subject, object data, out Guid id)
    {
        id = Guid.CreateVersion7(time.GetUtcNow());
        return new(
            """
            with key as (
              insert into outbox_keys as k (destination, partition_key, last_sequence, pending)
              values (@messageDestination, @messageKey, (extract(epoch from clock_timestamp()) * 1000000)::bigint, 1)
              on conflict (destination, partition_key) do update
              -- Never below the clock: after a restore from a backup, sequences that the receiver has seen must not be reused.
              set last_sequence = greatest(k.last_sequence + 1, excluded.last_sequence), pending = k.pending + 1
              returning last_sequence)
            insert into outbox (id, destination, partition_key, sequence, type, subject, data, traceparent, correlation_id)
            select @messageId, @messageDestination, @messageKey, last_sequence, @messageType, @messageSubject, @messageData::jsonb, @messageTrace, @messageCorrelation from key
            """,
            new
            {
                messageId = id,
                messageDestination = destination,
                messageKey = partitionKey,
                messageType = type,
                messageSubject = subject,
                messageData = JsonSerializer.Serialize(data, data.GetType(), PlatformJson.Tolerant),
                messageTrace = Activity.Current?.Id,
                messageCorrelation = CorrelationContext.Current,
            });
    }

    /// <summary>Starts the delivery of messages just committed.</summary>
    public void Wake() => signals[SignalName].Set();
}
