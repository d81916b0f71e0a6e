using Platform.ServiceDefaults.Health;

namespace Platform.ServiceDefaults.Communication;

/// <summary>What this process knows about one of its dependencies.</summary>
/// <param name="CircuitBreaker">Its breaker.</param>
/// <param name="FailureRatio">Failures over calls in the sampling window, 0 to 1.</param>
/// <param name="RetryBudgetLeft">Retries that would be allowed now.</param>
/// <param name="Latency">Duration of calls; null before the first call, and for dependencies that are not called over HTTP.</param>
/// <param name="LastError">The last failure that the breaker counted, or null.</param>
/// <param name="LastErrorAt">When that was, UTC.</param>
/// <param name="Fallbacks">What its uses do while it is unavailable.</param>
public sealed record DestinationStatus(
    CircuitBreakerReport CircuitBreaker, double FailureRatio, double RetryBudgetLeft, LatencyReport? Latency, string? LastError, DateTimeOffset? LastErrorAt,
    IReadOnlyList<FallbackStatus> Fallbacks);

/// <summary>The state of this process's dependencies: the services that it calls, and its database.</summary>
public sealed class CommunicationStatus(Destinations destinations, CallLog calls, Fallbacks fallbacks)
{
    /// <summary>The dependencies by name.</summary>
    public IReadOnlyDictionary<string, DestinationStatus> Services => new SortedDictionary<string, DestinationStatus>(
        destinations.All.ToDictionary(destination => destination.Name, StatusOf, StringComparer.Ordinal), StringComparer.Ordinal);

    /// <summary>Probes the dependency, bypassing its breaker. Returns a human-readable reason when it does not answer, else null. Takes at most a second.</summary>
    public Task<string?> FindErrorAsync(string name, CancellationToken cancellationToken) => destinations[name].FindErrorAsync(cancellationToken);

    /// <summary>The last hundred calls that were not plain successes, newest first.</summary>
    public IReadOnlyList<LoggedCall> Calls => calls.Recent;

    private DestinationStatus StatusOf(Destination destination)
    {
        var circuit = destination.Breaker.Snapshot();
        return new(
            new(circuit.State.ToText(), circuit.Since, circuit.Counts),
            Math.Round(circuit.FailureRatio, 3), Math.Round(destination.Budget.Left, 1), destination.Latency.Report(), circuit.LastError, circuit.LastErrorAt,
            fallbacks.Of(destination.Name));
    }
}
