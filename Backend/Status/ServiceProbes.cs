using System.Collections.Concurrent;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Health;

namespace Platform.Backend.Status;

/// <summary>One dependency of Backend: a service that it talks to, or its database.</summary>
/// <param name="State"><c>connected</c> or <c>disconnected</c>: whether it said just now that it is ready.</param>
/// <param name="LastChange">When the state was first seen to be this one, or the breaker last moved, whichever is later; UTC.</param>
/// <param name="CircuitBreaker">This replica's breaker towards it.</param>
/// <param name="FailureRatio">Failures over calls in the breaker's sampling window, 0 to 1.</param>
/// <param name="RetryBudgetLeft">Retries that this replica would allow itself now.</param>
/// <param name="Latency">How long this replica's last calls to it took; null when there was none yet, and for the database.</param>
/// <param name="LastError">What last went wrong, with a call or a probe.</param>
/// <param name="LastErrorAt">When that was, UTC.</param>
/// <param name="Fallbacks">What this service does without it, by use.</param>
public sealed record ServiceState(
    string State, DateTimeOffset LastChange, CircuitBreakerReport CircuitBreaker, double FailureRatio, double RetryBudgetLeft, LatencyReport? Latency, string? LastError,
    DateTimeOffset? LastErrorAt, IReadOnlyList<FallbackStatus> Fallbacks);

/// <summary>Asks other services and the database whether they answer, remembers what they said, and adds what this process knows of its calls to them.</summary>
internal sealed class ServiceProbes(CommunicationStatus communication, TimeProvider time)
{
    private readonly ConcurrentDictionary<string, Seen> _seen = new(StringComparer.Ordinal);

    /// <summary>Asks all of them at once; takes a second at most.</summary>
    public async Task<IReadOnlyDictionary<string, ServiceState>> AskAllAsync(CancellationToken cancellationToken)
    {
        var seen = await Task.WhenAll(communication.Services.Keys.Select(async service => KeyValuePair.Create(service, await AskAsync(service, cancellationToken))));
        var calls = communication.Services;
        return seen.ToDictionary(service => service.Key, service => StateOf(service.Value, calls[service.Key]), StringComparer.Ordinal);
    }

    private async Task<Seen> AskAsync(string service, CancellationToken cancellationToken)
    {
        var error = await communication.FindErrorAsync(service, cancellationToken);
        var now = time.GetUtcNow();
        return _seen.AddOrUpdate(
            service,
            _ => new(error is null, now, error, error is null ? null : now),
            (_, known) => new(
                error is null,
                known.Connected == (error is null) ? known.Since : now,
                error ?? known.LastError,
                error is null ? known.LastErrorAt : now));
    }

    private static ServiceState StateOf(Seen seen, DestinationStatus calls)
    {
        var callsFailedLast = calls.LastErrorAt > (seen.LastErrorAt ?? DateTimeOffset.MinValue);
        return new(
            seen.Connected ? "connected" : "disconnected",
            seen.Since > calls.CircuitBreaker.Since ? seen.Since : calls.CircuitBreaker.Since,
            calls.CircuitBreaker,
            calls.FailureRatio,
            calls.RetryBudgetLeft,
            calls.Latency,
            callsFailedLast ? calls.LastError : seen.LastError,
            callsFailedLast ? calls.LastErrorAt : seen.LastErrorAt,
            calls.Fallbacks);
    }

    private sealed record Seen(bool Connected, DateTimeOffset Since, string? LastError, DateTimeOffset? LastErrorAt);
}
