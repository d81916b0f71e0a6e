using System.ComponentModel.DataAnnotations;
using System.Threading.RateLimiting;

namespace Polly.RateLimiting;

/// <summary>Options of the rate limiter strategy.</summary>
public class RateLimiterStrategyOptions : ResilienceStrategyOptions
{
    /// <summary>Creates options named <c>RateLimiter</c>.</summary>
    public RateLimiterStrategyOptions() => Name = "RateLimiter";

    /// <summary>Gets or sets how a lease is acquired. Default: null, which means a concurrency limiter made from <see cref="DefaultRateLimiterOptions"/>.</summary>
    public Func<RateLimiterArguments, ValueTask<RateLimitLease>>? RateLimiter { get; set; }

    /// <summary>Gets or sets the options of the default limiter. Default: 1000 permits, no queue.</summary>
    [Required]
    public ConcurrencyLimiterOptions DefaultRateLimiterOptions { get; set; } = new() { PermitLimit = 1000, QueueLimit = 0 };

    /// <summary>Gets or sets what is called when an execution is refused. Default: null.</summary>
    public Func<OnRateLimiterRejectedArguments, ValueTask>? OnRejected { get; set; }
}

/// <summary>What <see cref="RateLimiterStrategyOptions.RateLimiter"/> is given.</summary>
public readonly struct RateLimiterArguments(ResilienceContext context)
{
    /// <summary>Gets the context of the execution that asks for a lease.</summary>
    public ResilienceContext Context { get; } = context;
}

/// <summary>What <see cref="RateLimiterStrategyOptions.OnRejected"/> is given.</summary>
public readonly struct OnRateLimiterRejectedArguments(ResilienceContext context, RateLimitLease lease)
{
    /// <summary>Gets the context of the refused execution.</summary>
    public ResilienceContext Context { get; } = context;

    /// <summary>Gets the lease that was not acquired.</summary>
    public RateLimitLease Lease { get; } = lease;
}
