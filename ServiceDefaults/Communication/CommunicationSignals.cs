using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Platform.ServiceDefaults.Observability;

namespace Platform.ServiceDefaults.Communication;

/// <summary>The meter <c>platform.communication</c> and the log lines with <c>event=resilience</c>. Only decisions are logged, never plain successes.</summary>
internal sealed partial class CommunicationSignals
{
    private static readonly InstrumentAdvice<double> Long = new() { HistogramBucketBoundaries = [0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200] };

    private readonly ConcurrentBag<Destination> _observed = [];
    private readonly Counter<long> _attempts;
    private readonly Counter<long> _retries;
    private readonly Counter<long> _retriesRefused;
    private readonly Counter<long> _transitions;
    private readonly Counter<long> _rejections;
    private readonly Counter<long> _deadlines;
    private readonly Counter<long> _fallbacks;
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _recovery;
    private readonly Histogram<double> _staleAge;
    private readonly ILogger<CommunicationSignals> _logger;

    public CommunicationSignals(IMeterFactory meters, ILogger<CommunicationSignals> logger)
    {
        _logger = logger;
        var meter = meters.CreateMeter("communication");
        _attempts = meter.CreateCounter<long>("platform.communication.attempts", "{attempt}", "Sends by destination and outcome.");
        _retries = meter.CreateCounter<long>("platform.communication.retries", "{retry}", "Sends after the first, by destination and reason.");
        _retriesRefused = meter.CreateCounter<long>("platform.communication.retries_refused", "{retry}", "Retries not made, by destination and what refused them: budget, deadline, body.");
        _transitions = meter.CreateCounter<long>("platform.communication.breaker.transitions", "{transition}", "Changes of a breaker's state, by destination and new state.");
        _rejections = meter.CreateCounter<long>("platform.communication.rejections", "{call}", "Calls refused without being sent, by destination and what refused them: breaker, concurrency.");
        _deadlines = meter.CreateCounter<long>("platform.communication.deadline_expiries", "{call}", "Calls whose time was up, by destination and where: headers, body.");
        _fallbacks = meter.CreateCounter<long>("platform.communication.fallbacks", "{fallback}", "Uses of a fallback, by destination, use and kind: fail-open, queue, fail-closed, best-effort.");
        _duration = meter.CreateHistogram<double>("platform.communication.duration", "s", "Time of a call with all its sends and pauses until the headers, by destination and outcome.");
        _recovery = meter.CreateHistogram("platform.communication.recovery.duration", "s", "Time from a breaker's opening to its closing, by destination.", advice: Long);
        _staleAge = meter.CreateHistogram("platform.communication.stale.age", "s", "Age of the stale answers that were given, by destination and use.", advice: Long);
        meter.CreateObservableGauge("platform.communication.breaker.state", () => Read(d => (int)d.Breaker.State), null, "0 closed, 1 open, 2 half-open, by destination.");
        meter.CreateObservableGauge("platform.communication.retry_budget.left", () => Read(d => d.Budget.Left), "{retry}", "Retries that the budget would allow now, by destination.");
    }

    public void Observe(Destination destination)
    {
        _observed.Add(destination);
        // Create every series up front: Prometheus' increase() misses the first value of a new series.
        _retriesRefused.Add(0, To(destination.Name), new("refused_by", "budget"));
        _rejections.Add(0, To(destination.Name), new("refused_by", "breaker"));
        _deadlines.Add(0, To(destination.Name), new("at", "headers"));
    }

    public void Attempted(string destination, string outcome) => _attempts.Add(1, To(destination), new("outcome", outcome));

    public void Retrying(string destination, string reason) => _retries.Add(1, To(destination), new("reason", reason));

    public void RetryRefused(string destination, string by)
    {
        _retriesRefused.Add(1, To(destination), new("refused_by", by));
        LogRetryRefused(_logger, destination, by);
    }

    public void Rejected(string destination, string by) => _rejections.Add(1, To(destination), new("refused_by", by));

    public void DeadlineExpired(string destination, string at)
    {
        _deadlines.Add(1, To(destination), new("at", at));
        LogDeadline(_logger, destination, at);
    }

    public void FellBack(Fallback fallback, TimeSpan? age)
    {
        _fallbacks.Add(1, To(fallback.Destination), new("use", fallback.Use), new("kind", fallback.KindText));
        if (age is { } old)
        {
            _staleAge.Record(old.TotalSeconds, To(fallback.Destination), new("use", fallback.Use));
        }
    }

    public void Ended(string destination, string outcome, TimeSpan elapsed) => _duration.Record(elapsed.TotalSeconds, To(destination), new("outcome", outcome));

    /// <param name="destination">Whose breaker.</param>
    /// <param name="change">What it did.</param>
    /// <param name="open">How long it had not been closed, when it closes.</param>
    public void BreakerChanged(string destination, CircuitTransition change, TimeSpan? open)
    {
        if (open is { } time)
        {
            _recovery.Record(time.TotalSeconds, To(destination));
        }

        var to = change.To.ToText();
        _transitions.Add(1, To(destination), new("state", to));
        if (change.To == CircuitState.Open)
        {
            LogOpened(_logger, destination, change.Reason);
        }
        else
        {
            LogChanged(_logger, destination, to, change.Reason);
        }
    }

    private static KeyValuePair<string, object?> To(string destination) => new("destination", destination);

    private List<Measurement<T>> Read<T>(Func<Destination, T> read) where T : struct => [.. _observed.Select(d => new Measurement<T>(read(d), To(d.Name)))];

    [LoggerMessage(LogLevel.Warning, "event=resilience The circuit breaker to {Destination} is open: {Reason}")]
    private static partial void LogOpened(ILogger logger, string destination, string reason);

    [LoggerMessage(LogLevel.Information, "event=resilience The circuit breaker to {Destination} is {State}: {Reason}")]
    private static partial void LogChanged(ILogger logger, string destination, string state, string reason);

    [LoggerMessage(LogLevel.Debug, "event=resilience A retry to {Destination} was refused by the {By}")]
    private static partial void LogRetryRefused(ILogger logger, string destination, string by);

    [LoggerMessage(LogLevel.Warning, "event=resilience A call to {Destination} timed out while waiting for its {At}")]
    private static partial void LogDeadline(ILogger logger, string destination, string at);
}

internal static class CircuitStateText
{
    // Constants, because every attempt's span event has one.
    public static string ToText(this CircuitState state) => state switch
    {
        CircuitState.Closed => "closed",
        CircuitState.Open => "open",
        _ => "half-open",
    };
}
