namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// Asks a destination whose breaker is open (a service its <c>/ready</c>) about every second, so that the first call after its return does not have to wait for
/// the end of the break. A destination that is ready and yet fails its trial is asked at intervals that double up to 30 s.
/// </summary>
internal sealed partial class RecoveryProbes(Destinations destinations, TimeProvider time, ILogger<RecoveryProbes> logger) : BackgroundService
{
    private static readonly TimeSpan ShortestInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestInterval = TimeSpan.FromSeconds(30);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(destinations.All.Select(destination => WatchAsync(destination, stoppingToken)));

    private async Task WatchAsync(Destination destination, CancellationToken stoppingToken)
    {
        // not disposed: a call that is still under way while the service stops may open the breaker
        var opened = new SemaphoreSlim(0);
        var breaker = destination.Breaker;
        breaker.ProbeInterval = ShortestInterval;
        var saidReady = false;
        breaker.Subscribe(change =>
        {
            switch (change)
            {
                case { To: CircuitState.Closed }:
                    breaker.ProbeInterval = ShortestInterval;
                    Volatile.Write(ref saidReady, false);
                    break;
                // not after a trial at the end of the break: one that was away for long would be found back that much later
                case { To: CircuitState.Open, From: CircuitState.HalfOpen } when Interlocked.Exchange(ref saidReady, false):
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
                    Volatile.Write(ref saidReady, true);
                    breaker.ProbeAnswered();
                    if (destination.ProbeIsUse && breaker.TryPass(out var trial, out _))
                    {
                        trial.Succeeded();
                    }
                }
            }
        }
    }

    [LoggerMessage(LogLevel.Debug, "event=resilience {Destination} is not back yet: {Reason}")]
    private static partial void LogNotReady(ILogger logger, string destination, string reason);
}
