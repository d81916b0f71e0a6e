using System.Threading.RateLimiting;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// All that a process knows of one service that it calls. Pipelines come and go with configuration and clients; this stays, so an open breaker
/// stays open and a spent budget stays spent.
/// </summary>
internal sealed class Destination : IDisposable
{
    private readonly ServicePolicy _policy;
    private readonly Lock _gate = new();
    private (ConcurrencyOptions Options, ConcurrencyLimiter Limiter)? _limiter;

    public Destination(ServicePolicy policy, CommunicationSignals signals, CallLog calls, TimeProvider time)
    {
        _policy = policy;
        Signals = signals;
        Calls = calls;
        Time = time;
        Breaker = new(() => Policy.CircuitBreaker, time);
        Budget = new(() => Policy.RetryBudget);
        Breaker.Subscribe(change => signals.BreakerChanged(Name, change));
        signals.Observe(this);
    }

    public string Name => _policy.Name;

    public ServiceClientOptions Policy => _policy.Current;

    public CircuitBreaker Breaker { get; }

    public RetryBudget Budget { get; }

    public CommunicationSignals Signals { get; }

    public CallLog Calls { get; }

    public TimeProvider Time { get; }

    /// <summary>The places at this destination. A reload that changes their number begins with new ones; calls under way keep the old.</summary>
    public ConcurrencyLimiter Limiter
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

    public void Dispose()
    {
        _policy.Dispose();
        _limiter?.Limiter.Dispose();
    }
}

/// <summary>The destinations of this process by name; made when first asked for, which <see cref="ServiceClientExtensions"/> does at start.</summary>
internal sealed class Destinations(
    IEnumerable<DestinationName> names, IConfiguration configuration, CommunicationSignals signals, CallLog calls, TimeProvider time, ILogger<Destination> logger) : IDisposable
{
    private readonly Dictionary<string, Destination> _all = names.Select(name => name.Value).Distinct(StringComparer.Ordinal).ToDictionary(
        name => name, name => new Destination(new ServicePolicy(name, configuration, logger), signals, calls, time), StringComparer.Ordinal);

    public Destination this[string name] => _all[name];

    public IReadOnlyCollection<Destination> All => _all.Values;

    public void Dispose()
    {
        foreach (var destination in _all.Values)
        {
            destination.Dispose();
        }
    }
}

/// <summary>Says that a client of the service was registered.</summary>
internal sealed record DestinationName(string Value);
