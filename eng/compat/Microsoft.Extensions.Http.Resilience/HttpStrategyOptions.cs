using System.Diagnostics.CodeAnalysis;
using Polly;
using Polly.CircuitBreaker;
using Polly.RateLimiting;
using Polly.Retry;
using Polly.Timeout;

namespace Microsoft.Extensions.Http.Resilience;

/// <summary>Rate limiter options for HTTP requests.</summary>
public class HttpRateLimiterStrategyOptions : RateLimiterStrategyOptions;

/// <summary>Timeout options for HTTP requests.</summary>
public class HttpTimeoutStrategyOptions : TimeoutStrategyOptions;

/// <summary>Circuit breaker options for HTTP requests. By default transient outcomes count as failures.</summary>
/// <remarks>A connection time-out of the handler is none for the breaker, unlike for retries: so it is in the package.</remarks>
public class HttpCircuitBreakerStrategyOptions : CircuitBreakerStrategyOptions<HttpResponseMessage>
{
    /// <summary>Creates options that count transient outcomes as failures.</summary>
    public HttpCircuitBreakerStrategyOptions() =>
        ShouldHandle = args => new ValueTask<bool>(HttpClientResiliencePredicates.IsTransient(args.Outcome));
}

/// <summary>Retry options for HTTP requests. By default transient outcomes are retried.</summary>
public class HttpRetryStrategyOptions : RetryStrategyOptions<HttpResponseMessage>
{
    private bool _shouldRetryAfterHeader;

    /// <summary>Creates options with exponential, jittered delays that honour <c>Retry-After</c>.</summary>
    public HttpRetryStrategyOptions()
    {
        ShouldHandle = args => new ValueTask<bool>(HttpClientResiliencePredicates.IsTransient(args.Outcome, args.Context.CancellationToken));
        BackoffType = DelayBackoffType.Exponential;
        UseJitter = true;
        ShouldRetryAfterHeader = true;
    }

    /// <summary>Gets or sets whether a response's <c>Retry-After</c> replaces the computed delay, however long it is. Default: true.</summary>
    /// <remarks>Setting it replaces <see cref="RetryStrategyOptions{TResult}.DelayGenerator"/>.</remarks>
    public bool ShouldRetryAfterHeader
    {
        get => _shouldRetryAfterHeader;
        set
        {
            _shouldRetryAfterHeader = value;
            DelayGenerator = value ? args => new ValueTask<TimeSpan?>(RetryAfter(args.Outcome.Result)) : null;
        }
    }

    private static TimeSpan? RetryAfter(HttpResponseMessage? response)
    {
        var header = response?.Headers.RetryAfter;
        var delay = header?.Delta ?? (header?.Date - TimeProvider.System.GetUtcNow());
        return delay >= TimeSpan.Zero ? delay : null;
    }
}

/// <summary>Exceptions from what is retried.</summary>
[Experimental("EXTEXP0001", UrlFormat = "https://aka.ms/dotnet-extensions-warnings/{0}")]
public static class HttpRetryStrategyOptionsExtensions
{
    /// <summary>Turns retries off for POST, PUT, PATCH, DELETE and CONNECT.</summary>
    public static void DisableForUnsafeHttpMethods(this HttpRetryStrategyOptions options) =>
        options.DisableFor(HttpMethod.Post, HttpMethod.Put, HttpMethod.Patch, HttpMethod.Delete, HttpMethod.Connect);

    /// <summary>Turns retries off for the given methods.</summary>
    /// <exception cref="ArgumentException"><paramref name="methods"/> is empty.</exception>
    public static void DisableFor(this HttpRetryStrategyOptions options, params HttpMethod[] methods)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(methods);
        if (methods.Length == 0)
            throw new ArgumentException("At least one method is needed.", nameof(methods));

        var inner = options.ShouldHandle ?? throw new ArgumentException($"{nameof(options.ShouldHandle)} is null.", nameof(options));
        options.ShouldHandle = async args =>
        {
            if (!await inner(args).ConfigureAwait(args.Context.ContinueOnCapturedContext))
                return false;

            var request = args.Outcome.Result?.RequestMessage ?? args.Context.GetRequestMessage();
            return request is null || !methods.Contains(request.Method);
        };
    }
}
