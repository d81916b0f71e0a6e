using System.Diagnostics;
using System.Threading.RateLimiting;
using Platform.ServiceDefaults.Health;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// All that a process knows of one dependency. Pipelines come and go with configuration and clients; this stays, so an open breaker
/// stays open and a spent budget stays spent. Service clients use it by themselves; what is not called over HTTP, such as a database, is guarded
/// by <see cref="TryPass"/> and <see cref="RetryAsync"/>.
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
        _policy = policy;
        _probe = probe;
        ProbeIsUse = probeIsUse;
        Signals = signals;
        Calls = calls;
        Time = time;
        Breaker = new(() => Policy.CircuitBreaker, time);
        Budget = new(() => Policy.RetryBudget);
        Breaker.Subscribe(change => signals.BreakerChanged(Name, change, TimeOpen(change)));
        signals.Observe(this);
    }

    /// <summary>The dependency's name.</summary>
    public string Name => _policy.Name;

    /// <summary>The policy as it is configured now.</summary>
    public ServiceClientOptions Policy => _policy.Current;

    /// <summary>Its breaker.</summary>
    public CircuitBreaker Breaker { get; }

    /// <summary>Its retry budget.</summary>
    public RetryBudget Budget { get; }

    /// <summary>How long the last calls took.</summary>
    internal LatencyWindow Latency { get; } = new();

    /// <summary>Whether an answer to the probe is as good as a successful use, so that it closes the breaker.</summary>
    internal bool ProbeIsUse { get; }

    internal CommunicationSignals Signals { get; }

    internal CallLog Calls { get; }

    internal TimeProvider Time { get; }

    /// <summary>The places at this destination. A reload that changes their number begins with new ones; calls under way keep the old.</summary>
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

    // From the first opening on: a trial that fails does not begin anew.
    private TimeSpan? TimeOpen(CircuitTransition change)
    {
        lock (_gate)
        {
            switch (change)
            {
                case { From: CircuitState.Closed }:
                    _openedAt = Time.GetTimestamp();
                    return null;
                case { To: CircuitState.Closed }:
                    return Time.GetElapsedTime(_openedAt);
                default:
                    return null;
            }
        }
    }

    /// <summary>Asks the dependency itself, past its breaker: why it does not answer, for people; null when it does.</summary>
    public Task<string?> FindErrorAsync(CancellationToken cancellationToken) => _probe(cancellationToken);

    /// <summary>As <see cref="CircuitBreaker.TryPass"/>, and a refusal is counted and seen on the current span.</summary>
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
    /// Runs <paramref name="read"/>, which must be harmless to repeat, and again after a failure that <paramref name="isTransient"/> says may be over soon:
    /// at most <see cref="RetryOptions.Sends"/> times, within <paramref name="within"/> and the caller's deadline, and while the budget lasts.
    /// </summary>
    /// <remarks>Any exception of the last run is thrown as it is.</remarks>
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

/// <summary>The dependencies of this process by name.</summary>
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
    /// <exception cref="KeyNotFoundException">None of that name was added.</exception>
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
    /// Adds the dependency <paramref name="name"/> with a breaker, a retry budget, a recovery probe and a line in <c>/health</c>; its policy is
    /// <see cref="ServiceClientOptions"/> from <c>Services:name</c>, of which retries, budget and breaker count. A second registration of one name changes nothing.
    /// </summary>
    /// <param name="services">Where to add it.</param>
    /// <param name="name">Its name, in configuration, metrics and reports.</param>
    /// <param name="findError">Asks the dependency, within a second: why it does not answer, for people; null when it does.</param>
    /// <param name="probeIsUse">Whether that is a use like any other, whose success closes an open breaker at once, and not only a sign that a use may be tried.</param>
    /// <param name="required">Whether nothing can be served without it: <c>/health</c> is then <c>unhealthy</c> and not <c>degraded</c> when it is down.</param>
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
