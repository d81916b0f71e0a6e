using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Health;

/// <summary>The response of <c>/health</c>.</summary>
/// <param name="Status"><c>healthy</c>, <c>degraded</c> (a dependency is down, and the service still serves something) or <c>unhealthy</c>.</param>
/// <param name="Timestamp">When the dependencies were checked, UTC.</param>
/// <param name="Dependencies"><c>connected</c> or <c>disconnected</c> by dependency.</param>
/// <param name="CircuitBreakers">Breakers by dependency.</param>
public sealed record HealthReport(
    string Status, DateTimeOffset Timestamp, IReadOnlyDictionary<string, string> Dependencies, IReadOnlyDictionary<string, CircuitBreakerReport> CircuitBreakers);

/// <summary>A breaker's state (<c>closed</c>, <c>open</c>, <c>half-open</c>), when it was entered, and its counts.</summary>
public sealed record CircuitBreakerReport(string State, DateTimeOffset Since, CircuitCounts Counts);
