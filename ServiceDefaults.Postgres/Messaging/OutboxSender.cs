using System.Diagnostics;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Sends the messages of one claimed key in order and records the result of each.</summary>
internal sealed partial class OutboxSender(
    OutboxRoute route, OutboxStore store, HttpDelivery delivery, Signals signals, MessagingMetrics metrics, Fallbacks fallbacks, IOptions<MessagingOptions> options, ILogger<OutboxSender> logger)
{
    /// <param name="key">A key that this process has claimed.</param>
    /// <param name="trial">The trial of an unavailable destination that this delivery is; null while the destination is available.</param>
    /// <param name="stoppingToken">Stops before the next message.</param>
    /// <param name="cancellationToken">Aborts the message being sent.</param>
    public async Task SendAsync(ClaimedKey key, Guid? trial, CancellationToken stoppingToken, CancellationToken cancellationToken)
    {
        foreach (var message in await store.GetHeadAsync(key, options.Value.BatchSize, cancellationToken))
        {
            if (stoppingToken.IsCancellationRequested)
            {
                break;
            }

            using var correlation = message.CorrelationId is { } id ? CorrelationContext.Begin(id) : null;
            using var activity = PlatformTelemetry.Source.StartActivity($"send {message.Type}", ActivityKind.Producer, message.Traceparent);
            activity?.SetTag("messaging.operation.type", "send").SetTag("messaging.destination.name", message.Destination)
                .SetTag("messaging.message.id", message.Id.ToString()).SetTag("correlation.id", message.CorrelationId);

            var result = await delivery.SendAsync(message, cancellationToken);
            activity?.SetTag("platform.messaging.outcome", result.Outcome.ToString());
            switch (result.Outcome)
            {
                case DeliveryOutcome.Accepted:
                    metrics.Delivered(message.Destination, message.Type, message.CreatedAt);
                    var pending = await store.CompleteAsync(key, message.Id, cancellationToken);
                    await EndTrialAsync();
                    if (pending is null or 0)
                    {
                        return;
                    }

                    continue;

                case DeliveryOutcome.Refused:
                    metrics.Sent(message.Destination, message.Type, "refused");
                    activity?.SetStatus(ActivityStatusCode.Error, result.Error);
                    await store.MarkDeadAsync(key, message.Id, result.Error, cancellationToken);
                    LogDead(logger, message.Destination, message.Type, message.Id, message.PartitionKey, result.Error);
                    await EndTrialAsync();
                    return;

                case DeliveryOutcome.Failed:
                    metrics.Sent(message.Destination, message.Type, "failed");
                    await store.PostponeKeyAsync(key, message.Id, result.Error, cancellationToken);
                    LogFailed(logger, message.Destination, message.Type, message.Id, result.Error);
                    await EndTrialAsync();
                    return;

                default:
                    metrics.Sent(message.Destination, message.Type, "postponed");
                    await store.PostponeDestinationAsync(key, trial, result.Error, result.RetryAfter, cancellationToken);
                    fallbacks.Use(route.Waiting[message.Destination]);
                    LogUnavailable(logger, message.Destination, result.Error);
                    return;
            }
        }

        await store.ReleaseAsync(key, cancellationToken);

        // Any response of the receiver shows that it is available again.
        async Task EndTrialAsync()
        {
            if (trial is not null && await store.MarkAvailableAsync(key.Destination, cancellationToken))
            {
                trial = null;
                LogAvailable(logger, key.Destination);
                signals[Outbox.StateSignalName(key.Destination)].Set();
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "Messages to {Destination} are waiting: {Reason}")]
    private static partial void LogUnavailable(ILogger logger, string destination, string reason);

    [LoggerMessage(LogLevel.Information, "{Destination} accepts messages again")]
    private static partial void LogAvailable(ILogger logger, string destination);

    [LoggerMessage(LogLevel.Warning, "{Destination} failed on {Type} {Id}, which will be sent again: {Reason}")]
    private static partial void LogFailed(ILogger logger, string destination, string type, Guid id, string reason);

    [LoggerMessage(LogLevel.Error, "{Destination} refused {Type} {Id}, which is now a dead letter and holds back its key {PartitionKey}: {Reason}")]
    private static partial void LogDead(ILogger logger, string destination, string type, Guid id, Guid partitionKey, string reason);
}
