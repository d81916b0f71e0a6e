namespace Polly.RateLimiting;

/// <summary>Thrown when a rate limiter refuses an execution.</summary>
public sealed class RateLimiterRejectedException : ExecutionRejectedException
{
    private const string Refused = "The operation could not be executed because it was rejected by the rate limiter.";

    /// <summary>Creates the exception with the default message.</summary>
    public RateLimiterRejectedException()
        : base(Refused)
    {
    }

    /// <summary>Creates the exception with the default message and the time after which it makes sense to try again.</summary>
    public RateLimiterRejectedException(TimeSpan retryAfter)
        : base($"{Refused} It can be retried after '{retryAfter}'.") => RetryAfter = retryAfter;

    /// <summary>Creates the exception with a message.</summary>
    public RateLimiterRejectedException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a message and the time after which it makes sense to try again.</summary>
    public RateLimiterRejectedException(string message, TimeSpan retryAfter)
        : base(message) => RetryAfter = retryAfter;

    /// <summary>Creates the exception with a message and a cause.</summary>
    public RateLimiterRejectedException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates the exception with a message, the time after which it makes sense to try again, and a cause.</summary>
    public RateLimiterRejectedException(string message, TimeSpan retryAfter, Exception inner)
        : base(message, inner) => RetryAfter = retryAfter;

    /// <summary>Gets the time after which it makes sense to try again, if the limiter knows it.</summary>
    public TimeSpan? RetryAfter { get; }
}
