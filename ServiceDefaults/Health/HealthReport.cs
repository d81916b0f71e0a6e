using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Health;

/// <summary>What <c>/health</c> answers.</summary>
/// <param name="Status"><c>healthy</c>, <c>degraded</c> (something is down and the service still serves something) or <c>unhealthy</c>.</param>
/// <param name="Timestamp">When the dependencies were asked, UTC.</param>
/// <param name="Dependencies"><c>connected</c> or <c>disconnected</c> by dependency.</param>
/// <param name="CircuitBreakers">Breakers by dependency.</param>
public sealed record HealthReport(
    string Status,
    DateTimeOffset Timestamp,
    IReadOnlyDictionary<string, string> Dependencies,
    IReadOnlyDictionary<string, CircuitBreakerReport> CircuitBreakers);

/// <summary>One breaker: its state (<c>closed</c>, <c>open</c>, <c>half-open</c>), since when, and what it counted.</summary>
public sealed record CircuitBreakerReport(string State, DateTimeOffset Since, CircuitCounts Counts);
