using System.Diagnostics;
using Dapper;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Applies each message exactly once: its id is stored in the transaction of its handler's effects.</summary>
internal sealed partial class Inbox(
    PostgresDatabase database, IEnumerable<MessageHandler> handlers, IServiceScopeFactory scopes, Outbox outbox, MessagingMetrics metrics, IOptions<MessagingOptions> options, ILogger<Inbox> logger)
{
    private readonly Dictionary<string, MessageHandler> _handlers = handlers.ToDictionary(handler => handler.Type, StringComparer.Ordinal);

    /// <summary>Applies the message unless it is a duplicate or a later one of its key was already applied.</summary>
    /// <exception cref="MessageRefusedException">The message can never be applied.</exception>
    public async Task ReceiveAsync(CloudEvent message, CancellationToken cancellationToken)
    {
        using var correlation = CorrelationContext.IsValid(message.CorrelationId) ? CorrelationContext.Begin(message.CorrelationId!) : null;
        Activity.Current?.SetTag("messaging.operation.type", "process").SetTag("messaging.message.id", message.Id).SetTag("messaging.message.type", message.Type);
        if (!_handlers.TryGetValue(message.Type, out var handler))
        {
            metrics.Received(message.Source, "other", "refused");
            throw new MessageRefusedException($"Messages of type '{message.Type}' are not accepted here.");
        }

        try
        {
            metrics.Received(message.Source, message.Type, await ApplyAsync(message, handler, cancellationToken));
        }
        catch (MessageRefusedException)
        {
            metrics.Received(message.Source, message.Type, "refused");
            throw;
        }
        catch (Exception exception) when (!IsTransient(exception, cancellationToken))
        {
            metrics.Received(message.Source, message.Type, "failed");
            LogFailed(logger, exception, message.Type, message.Id, message.Source);
            if (await CountFailureAsync(message, exception, cancellationToken) >= options.Value.MaxHandlerFailures)
            {
                throw new MessageRefusedException($"The handler failed {options.Value.MaxHandlerFailures} times on this message, last with {exception.GetType().Name}.");
            }

            throw;
        }
    }

    /// <summary>Returns the outcome for metrics: <c>accepted</c>, <c>known</c> (a duplicate) or <c>stale</c> (out of order).</summary>
    private async Task<string> ApplyAsync(CloudEvent message, MessageHandler handler, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);

        // A concurrent delivery of the same id waits here until this transaction ends.
        var (isNew, isNext) = await connection.QuerySingleAsync<(bool IsNew, bool IsNext)>(new CommandDefinition(
            """
            with message as (
              insert into inbox (source, id) values (@Source, @Id) on conflict do nothing returning 1),
            sequence as (
              insert into inbox_sequences as s (source, partition_key, last_sequence)
              select @Source, @PartitionKey, @Sequence from message
              on conflict (source, partition_key) do update set last_sequence = excluded.last_sequence where s.last_sequence < excluded.last_sequence
              returning 1)
            select exists (select from message), exists (select from sequence)
            """, new { message.Source, message.Id, message.PartitionKey, message.Sequence }, transaction, cancellationToken: cancellationToken));
        if (!isNew)
        {
            return "known";
        }

        if (!isNext)
        {
            LogStale(logger, message.Type, message.Id, message.Source, message.Sequence, message.PartitionKey);
            return "stale";
        }

        var context = new MessageContext(
            transaction, message.Id, message.Source, message.Type, message.Subject ?? "", message.PartitionKey, message.Sequence, message.CorrelationId);
        await using (var scope = scopes.CreateAsyncScope())
        {
            await handler.HandleAsync(message.Data, context, scope.ServiceProvider, cancellationToken);
        }

        await transaction.CommitAsync(cancellationToken);
        context.Committed.ForEach(action => action());
        // The handler may have enqueued messages.
        outbox.Wake();
        return "accepted";
    }

    private async Task<int> CountFailureAsync(CloudEvent message, Exception exception, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteScalarAsync<int>(new CommandDefinition(
            """
            insert into inbox_failures as f (source, id, failures, last_error) values (@Source, @Id, 1, @error)
            on conflict (source, id) do update set failures = f.failures + 1, last_error = excluded.last_error, last_failed_at = now()
            returning failures
            """, new { message.Source, message.Id, error = $"{exception.GetType().Name}: {exception.Message}".Replace('\0', ' ') }, cancellationToken: cancellationToken));
    }

    // Not the message's fault, so it must not count towards poison.
    private static bool IsTransient(Exception exception, CancellationToken cancellationToken) =>
        cancellationToken.IsCancellationRequested
        || DatabaseProblems.IsUnavailable(exception)
        || exception is DependencyUnavailableException or OperationCanceledException or TimeoutException or HttpRequestException;

    [LoggerMessage(LogLevel.Error, "The handler of {Type} failed on message {Id} from {Source}")]
    private static partial void LogFailed(ILogger logger, Exception exception, string type, string id, string source);

    [LoggerMessage(LogLevel.Warning, "Ignored {Type} {Id} from {Source}: its sequence {Sequence} is not after the last one of key {PartitionKey}")]
    private static partial void LogStale(ILogger logger, string type, string id, string source, long sequence, Guid partitionKey);
}
