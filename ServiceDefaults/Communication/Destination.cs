using System.Diagnostics;
using System.Threading.RateLimiting;
using Platform.ServiceDefaults.Health;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// This process's state of one dependency: breaker, retry budget, concurrency limit and latency. It outlives Polly pipelines, which are rebuilt with clients and configuration.
/// Service clients use it automatically. Guard other dependencies, such as a database, with <see cref="TryPass"/> and <see cref="RetryAsync"/>.
/// </summary>
public sealed class Destination : IDisposable
{
    private readonly ServicePolicy _policy;
    private readonly Lock _gate = new();
    private readonly Func<CancellationToken, Task<string?>> _probe;
    private long _openedAt;
    private (ConcurrencyOptions Options, ConcurrencyLimiter Limiter)? _limiter;

    internal Destination(ServicePolicy policy, Func<CancellationToken, Task<string?>> probe, bool probeIsUse, CommunicationSignals signals, CallLog calls, TimeProvider time)
    {
        (_policy, _probe, ProbeIsUse, Signals, Calls, Time) = (policy, probe, probeIsUse, signals, calls, time);
        Breaker = new(() => Policy.CircuitBreaker, time);
        Budget = new(() => Policy.RetryBudget);
        Breaker.Subscribe(change => signals.BreakerChanged(Name, change, TimeOpen(change)));
        signals.Observe(this);
    }

    /// <summary>The dependency's name.</summary>
    public string Name => _policy.Name;

    /// <summary>The current policy.</summary>
    public ServiceClientOptions Policy => _policy.Current;

    /// <summary>Its breaker.</summary>
    public CircuitBreaker Breaker { get; }

    /// <summary>Its retry budget.</summary>
    public RetryBudget Budget { get; }

    /// <summary>Durations of recent calls.</summary>
    internal LatencyWindow Latency { get; } = new();

    /// <summary>Whether a successful probe closes the breaker without a trial call.</summary>
    internal bool ProbeIsUse { get; }

    internal CommunicationSignals Signals { get; }

    internal CallLog Calls { get; }

    internal TimeProvider Time { get; }

    /// <summary>The concurrency limiter. Replaced when a reload changes its limits; calls in flight keep the old one.</summary>
    internal ConcurrencyLimiter Limiter
    {
        get
        {
            var wanted = Policy.Concurrency;
            lock (_gate)
            {
                if (_limiter is not { } current || current.Options.Limit != wanted.Limit || current.Options.Queue != wanted.Queue)
                {
                    current = (wanted, new ConcurrencyLimiter(new()
                    {
                        PermitLimit = wanted.Limit,
                        QueueLimit = wanted.Queue,
                        QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
                    }));
                    _limiter = current;
                }

                return current.Limiter;
            }
        }
    }

    // Measured from the first opening: a failed trial does not restart the outage.
    private TimeSpan? TimeOpen(CircuitTransition change)
    {
        lock (_gate)
        {
            if (change.From == CircuitState.Closed)
            {
                _openedAt = Time.GetTimestamp();
            }

            return change.To == CircuitState.Closed ? Time.GetElapsedTime(_openedAt) : null;
        }
    }

    /// <summary>Probes the dependency, bypassing its breaker. Returns a human-readable reason when it does not answer, else null.</summary>
    public Task<string?> FindErrorAsync(CancellationToken cancellationToken) => _probe(cancellationToken);

    /// <summary>Like <see cref="CircuitBreaker.TryPass"/>, and records a refusal in metrics and on the current span.</summary>
    public bool TryPass(out CircuitPass pass, out TimeSpan retryAfter)
    {
        if (Breaker.TryPass(out pass, out retryAfter))
        {
            return true;
        }

        Signals.Rejected(Name, "breaker");
        Activity.Current?.AddEvent(new("breaker.refused", Time.GetUtcNow(), new() { ["peer.service"] = Name, ["explanation"] = "refused: the circuit breaker is open" }));
        return false;
    }

    /// <summary>
    /// Runs <paramref name="read"/>, which must be idempotent, and retries it after failures that are transient according to <paramref name="isTransient"/>:
    /// at most <see cref="RetryOptions.Sends"/> attempts, within <paramref name="within"/>, the caller's deadline and the retry budget. The last exception is rethrown.
    /// </summary>
    public async Task<T> RetryAsync<T>(Func<Task<T>> read, Func<Exception, bool> isTransient, TimeSpan within, CancellationToken cancellationToken)
    {
        var began = Time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            TimeSpan delay;
            try
            {
                var result = await read();
                Budget.Earn();
                return result;
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested && isTransient(exception) && MayRetry(attempt, exception, within - Time.GetElapsedTime(began), out delay))
            {
                Signals.Retrying(Name, exception.GetType().Name);
            }

            await Task.Delay(delay, Time, cancellationToken);
        }
    }

    private bool MayRetry(int attempt, Exception exception, TimeSpan left, out TimeSpan delay)
    {
        delay = RetryStrategy.BackOff(Policy.Retry, attempt);
        if (attempt >= Policy.Retry.Sends)
        {
            return false;
        }

        left = Deadline.Left is { } caller && caller < left ? caller : left;
        var refusedBy = delay >= left ? "deadline" : Budget.TryTake() ? null : "budget";
        if (refusedBy is not null)
        {
            Signals.RetryRefused(Name, refusedBy);
        }

        Activity.Current?.AddEvent(new(refusedBy is null ? "retry" : "retry.refused", Time.GetUtcNow(), new()
        {
            ["peer.service"] = Name,
            ["explanation"] = refusedBy is null ? $"attempt {attempt} failed ({exception.Message}); again in {ServiceCall.Milliseconds(delay)}" : $"attempt {attempt + 1} refused by the {refusedBy}",
            ["attempt"] = attempt,
            ["retry_budget.left"] = Budget.Left,
        }));
        return refusedBy is null;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        _policy.Dispose();
        _limiter?.Limiter.Dispose();
    }
}

/// <summary>This process's dependencies by name.</summary>
public sealed class Destinations : IDisposable
{
    private readonly Dictionary<string, Destination> _all;

    internal Destinations(IServiceProvider services) => _all = services.GetServices<DestinationRegistration>().ToDictionary(
        destination => destination.Name,
        destination => new Destination(
            new(destination.Name, services.GetRequiredService<IConfiguration>(), services.GetRequiredService<ILogger<Destination>>()),
            cancellationToken => destination.Probe(services, cancellationToken),
            destination.ProbeIsUse,
            services.GetRequiredService<CommunicationSignals>(),
            services.GetRequiredService<CallLog>(),
            services.GetRequiredService<TimeProvider>()),
        StringComparer.Ordinal);

    /// <summary>The dependency of that name.</summary>
    /// <exception cref="KeyNotFoundException">No dependency of that name was added.</exception>
    public Destination this[string name] => _all[name];

    internal IReadOnlyCollection<Destination> All => _all.Values;

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (var destination in _all.Values)
        {
            destination.Dispose();
        }
    }
}

internal sealed record DestinationRegistration(string Name, Func<IServiceProvider, CancellationToken, Task<string?>> Probe, bool ProbeIsUse);

/// <summary>Registers dependencies that are not called through a service client.</summary>
public static class DestinationExtensions
{
    /// <summary>
    /// Adds the dependency <paramref name="name"/> with a breaker, a retry budget, a recovery probe and an entry in <c>/health</c>. Its policy is the <c>Retry</c>, <c>RetryBudget</c>
    /// and <c>CircuitBreaker</c> of <see cref="ServiceClientOptions"/> from <c>Services:name</c>. Registering a name again has no effect.
    /// </summary>
    /// <param name="services">The service collection.</param>
    /// <param name="name">Its name, in configuration, metrics and reports.</param>
    /// <param name="findError">Probes the dependency within a second. Returns a human-readable reason when it does not answer, else null.</param>
    /// <param name="probeIsUse">Whether a successful probe closes an open breaker at once, instead of only allowing a trial call.</param>
    /// <param name="required">Whether <c>/health</c> is <c>unhealthy</c> rather than <c>degraded</c> while it is down, because nothing can be served without it.</param>
    public static IServiceCollection AddDestination(
        this IServiceCollection services, string name, Func<IServiceProvider, CancellationToken, Task<string?>> findError, bool probeIsUse, bool required)
    {
        if (services.Any(service => service.ImplementationInstance is DestinationRegistration known && known.Name == name))
        {
            return services;
        }

        services.AddSingleton(new DestinationRegistration(name, findError, probeIsUse));
        return services.AddDependencyCheck(name, async (provider, cancellationToken) => await findError(provider, cancellationToken) is null, required);
    }
}
