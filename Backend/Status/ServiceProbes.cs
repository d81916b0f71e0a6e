using System.Collections.Concurrent;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Health;

namespace Platform.Backend.Status;

/// <summary>One of Backend's dependencies: a service or the database.</summary>
/// <param name="State"><c>connected</c> or <c>disconnected</c>: whether it just answered that it is ready.</param>
/// <param name="LastChange">When this replica last saw the state change, or the breaker changed, whichever is later; UTC.</param>
/// <param name="CircuitBreaker">This replica's circuit breaker for it.</param>
/// <param name="FailureRatio">Failures over calls in the breaker's sampling window, 0 to 1.</param>
/// <param name="RetryBudgetLeft">Retries left in this replica's budget.</param>
/// <param name="Latency">Latency of this replica's recent calls to it; null if there were none, and for the database.</param>
/// <param name="LastError">The last error of a call or probe.</param>
/// <param name="LastErrorAt">When that occurred, UTC.</param>
/// <param name="Fallbacks">What Backend does while it is unavailable, by use.</param>
public sealed record ServiceState(
    string State, DateTimeOffset LastChange, CircuitBreakerReport CircuitBreaker, double FailureRatio, double RetryBudgetLeft, LatencyReport? Latency, string? LastError,
    DateTimeOffset? LastErrorAt, IReadOnlyList<FallbackStatus> Fallbacks);

/// <summary>Probes Backend's dependencies, and combines the results with this process's statistics of its calls to them.</summary>
internal sealed class ServiceProbes(CommunicationStatus communication, TimeProvider time)
{
    private readonly ConcurrentDictionary<string, Seen> _seen = new(StringComparer.Ordinal);

    /// <summary>Probes all dependencies concurrently; takes a second at most.</summary>
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
