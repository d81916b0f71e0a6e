using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// The policy of one dependency, bound from <c>Services:&lt;name&gt;</c>. Validated at start and at each reload. docs/resilience.md gives the reasons for the defaults.
/// </summary>
public sealed class ServiceClientOptions
{
    /// <summary>Limits of calls in flight and of calls waiting.</summary>
    public ConcurrencyOptions Concurrency { get; } = new();

    /// <summary>Time limit of a call that reads (GET, HEAD, OPTIONS), including retries, back-off and the body. 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan ReadTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Time limit of a call that writes, including retries, back-off and the body. 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan WriteTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Time limit of one attempt, up to the response headers. 3 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:05:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan AttemptTimeout { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>When and how often a call is retried.</summary>
    public RetryOptions Retry { get; } = new();

    /// <summary>Limit on the load that retries add.</summary>
    public RetryBudgetOptions RetryBudget { get; } = new();

    /// <summary>When calls are refused without being sent.</summary>
    public CircuitBreakerOptions CircuitBreaker { get; } = new();
}

/// <summary>The bulkhead of a destination: a call beyond limit and queue fails at once.</summary>
public sealed class ConcurrencyOptions
{
    /// <summary>Calls in flight. 100.</summary>
    [Range(1, 100_000)]
    public int Limit { get; set; } = 100;

    /// <summary>Calls waiting. 50.</summary>
    [Range(0, 100_000)]
    public int Queue { get; set; } = 50;
}

/// <summary>Retries of repeatable calls: those with an idempotent method or an <c>Idempotency-Key</c>.</summary>
public sealed class RetryOptions
{
    /// <summary>Attempts in total, including the first; 1 disables retries. 3.</summary>
    [Range(1, 10)]
    public int Sends { get; set; } = 3;

    /// <summary>Base of the back-off, doubled with each attempt. The actual delay is random between zero and that (full jitter). 100 ms.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Delay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest back-off, before jitter. 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:05:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxDelay { get; set; } = TimeSpan.FromSeconds(5);
}

/// <summary>The budget of <see cref="RetryBudget"/>.</summary>
public sealed class RetryBudgetOptions
{
    /// <summary>Retries earned per success. 0.1, so that retries add at most 10 % load.</summary>
    [Range(0.0, 1.0)]
    public double PerSuccess { get; set; } = 0.1;

    /// <summary>Retries available at start. 10.</summary>
    [Range(0.0, 10_000.0)]
    public double Reserve { get; set; } = 10;

    /// <summary>Most retries that can be saved. 100.</summary>
    [Range(0.0, 100_000.0)]
    public double MaxSaved { get; set; } = 100;
}

/// <summary>The thresholds of <see cref="CircuitBreaker"/>.</summary>
public sealed class CircuitBreakerOptions
{
    /// <summary>Whether calls are ever refused. Calls are counted either way. True.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Failure ratio at which the breaker opens, 0.01 to 1. 0.5.</summary>
    [Range(0.01, 1.0)]
    public double FailureRatio { get; set; } = 0.5;

    /// <summary>Calls in the sampling window below which the ratio is ignored. 20.</summary>
    [Range(1, 1_000_000)]
    public int MinimumThroughput { get; set; } = 20;

    /// <summary>The sampling window. 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan SamplingDuration { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Consecutive failed connection attempts that open the breaker whatever the ratio. 5.</summary>
    [Range(1, 1_000_000)]
    public int ConnectFailures { get; set; } = 5;

    /// <summary>How long the breaker stays open while no recovery probe succeeds. 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "01:00:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan BreakDuration { get; set; } = TimeSpan.FromSeconds(30);
}
