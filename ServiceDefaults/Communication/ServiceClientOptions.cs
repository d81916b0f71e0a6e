using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// The policy of one dependency, bound from <c>Services:&lt;name&gt;</c> over these defaults. Validated at start and at each reload; docs/resilience.md
/// says why each default is what it is.
/// </summary>
public sealed class ServiceClientOptions
{
    /// <summary>How many calls may be under way at once, and how many may wait for a place.</summary>
    public ConcurrencyOptions Concurrency { get; } = new();

    /// <summary>Time for a call that reads (GET, HEAD, OPTIONS), all sends, pauses and the body included. 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan ReadTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Time for a call that writes, all sends, pauses and the body included. 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan WriteTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Time for one send, until the headers are there. 3 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:05:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan AttemptTimeout { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>When and how often a call is sent again.</summary>
    public RetryOptions Retry { get; } = new();

    /// <summary>How much load retries may add.</summary>
    public RetryBudgetOptions RetryBudget { get; } = new();

    /// <summary>When calls are refused without being sent.</summary>
    public CircuitBreakerOptions CircuitBreaker { get; } = new();
}

/// <summary>The bulkhead of a destination; a call that finds neither a place nor a place in the queue fails at once.</summary>
public sealed class ConcurrencyOptions
{
    /// <summary>Calls under way at once. 100.</summary>
    [Range(1, 100_000)]
    public int Limit { get; set; } = 100;

    /// <summary>Calls that wait for a place. 50.</summary>
    [Range(0, 100_000)]
    public int Queue { get; set; } = 50;
}

/// <summary>Retries of calls that may be repeated: an idempotent method, or a request that carries an <c>Idempotency-Key</c>.</summary>
public sealed class RetryOptions
{
    /// <summary>Sends in all, the first included; 1 switches retries off. 3.</summary>
    [Range(1, 10)]
    public int Sends { get; set; } = 3;

    /// <summary>The base of the back-off, doubled with each send; the pause is drawn between nothing and it (full jitter). 100 ms.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Delay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest back-off, before jitter. 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:05:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxDelay { get; set; } = TimeSpan.FromSeconds(5);
}

/// <summary>The budget of <see cref="RetryBudget"/>.</summary>
public sealed class RetryBudgetOptions
{
    /// <summary>Retries earned by a success. 0.1, so retries add at most a tenth to the load.</summary>
    [Range(0.0, 1.0)]
    public double PerSuccess { get; set; } = 0.1;

    /// <summary>Retries there are at the start. 10.</summary>
    [Range(0.0, 10_000.0)]
    public double Reserve { get; set; } = 10;

    /// <summary>The most retries that can be saved up. 100.</summary>
    [Range(0.0, 100_000.0)]
    public double MaxSaved { get; set; } = 100;
}

/// <summary>The thresholds of <see cref="CircuitBreaker"/>.</summary>
public sealed class CircuitBreakerOptions
{
    /// <summary>Whether calls are ever refused; the counts go on either way. True.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Failures over calls at which the breaker opens, 0.01 to 1. 0.5.</summary>
    [Range(0.01, 1.0)]
    public double FailureRatio { get; set; } = 0.5;

    /// <summary>Calls in the sampling window below which the ratio says nothing. 20.</summary>
    [Range(1, 1_000_000)]
    public int MinimumThroughput { get; set; } = 20;

    /// <summary>The sampling window. 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan SamplingDuration { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Connection attempts failing in a row that open the breaker whatever the ratio. 5.</summary>
    [Range(1, 1_000_000)]
    public int ConnectFailures { get; set; } = 5;

    /// <summary>How long the breaker stays open when no recovery probe is answered. 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "01:00:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan BreakDuration { get; set; } = TimeSpan.FromSeconds(30);
}
