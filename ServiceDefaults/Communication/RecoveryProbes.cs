namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// Probes destinations whose breaker is open about once a second (services at <c>/ready</c>), so that calls resume soon after a recovery and not only at the end of the
/// break. Whenever a probe succeeds and the trial call still fails, the interval doubles, up to 30 s.
/// </summary>
internal sealed partial class RecoveryProbes(Destinations destinations, TimeProvider time, ILogger<RecoveryProbes> logger) : BackgroundService
{
    private static readonly TimeSpan ShortestInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestInterval = TimeSpan.FromSeconds(30);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(destinations.All.Select(destination => WatchAsync(destination, stoppingToken)));

    private async Task WatchAsync(Destination destination, CancellationToken stoppingToken)
    {
        // Not disposed: a call in flight while the service stops may still open the breaker and release it.
        var opened = new SemaphoreSlim(0);
        var breaker = destination.Breaker;
        breaker.ProbeInterval = ShortestInterval;
        var probeSucceeded = false;
        breaker.Subscribe(change =>
        {
            switch (change)
            {
                case { To: CircuitState.Closed }:
                    breaker.ProbeInterval = ShortestInterval;
                    Volatile.Write(ref probeSucceeded, false);
                    break;
                // Only if a probe had succeeded. A trial at the end of the break says nothing about probing, and a longer interval would delay noticing the recovery.
                case { To: CircuitState.Open, From: CircuitState.HalfOpen } when Interlocked.Exchange(ref probeSucceeded, false):
                    breaker.ProbeInterval = breaker.ProbeInterval * 2 is var doubled && doubled < LongestInterval ? doubled : LongestInterval;
                    opened.Release();
                    break;
                case { To: CircuitState.Open }:
                    opened.Release();
                    break;
            }
        });
        while (true)
        {
            await opened.WaitAsync(stoppingToken);
            while (breaker.State == CircuitState.Open)
            {
                await Task.Delay(breaker.ProbeInterval * (0.8 + Random.Shared.NextDouble() * 0.2), time, stoppingToken);
                if (breaker.State != CircuitState.Open)
                {
                    break;
                }

                if (await destination.FindErrorAsync(stoppingToken) is { } error)
                {
                    breaker.ProbeInterval = ShortestInterval;
                    LogNotReady(logger, destination.Name, error);
                }
                else
                {
                    Volatile.Write(ref probeSucceeded, true);
                    breaker.ProbeSucceeded();
                    if (destination.ProbeIsUse && breaker.TryPass(out var trial, out _))
                    {
                        trial.Succeeded();
                    }
                }
            }
        }
    }

    [LoggerMessage(LogLevel.Debug, "event=resilience {Destination} is still unavailable: {Reason}")]
    private static partial void LogNotReady(ILogger logger, string destination, string reason);
}
