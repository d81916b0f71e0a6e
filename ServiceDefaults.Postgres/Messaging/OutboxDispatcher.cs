using System.Collections.Concurrent;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>
/// Sends outbox messages. For each destination it claims partition keys that have messages due, and sends each key's messages in order, several keys in parallel.
/// While a destination is unavailable its messages wait without limit, and one process at a time sends a single message as a trial. Only a 400 or 422 response makes
/// a message a dead letter.
/// </summary>
internal sealed partial class OutboxDispatcher(
    OutboxRoute route, OutboxStore store, OutboxSender sender, Signals signals, DatabaseMigrations migrations, IOptions<MessagingOptions> options, TimeProvider time, ILogger<OutboxDispatcher> logger)
    : BackgroundService
{
    private static readonly TimeSpan ProbeInterval = TimeSpan.FromSeconds(1);

    // How long sends in flight may continue after the service is told to stop. Then they are aborted and their keys released, so that another process sends them.
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(2);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        await Task.WhenAll(route.Waiting.Keys.Select(destination => RunAsync(destination, stoppingToken)));
    }

    private async Task RunAsync(string destination, CancellationToken stoppingToken)
    {
        using var sending = new CancellationTokenSource();
        await using var stop = stoppingToken.Register(() => sending.CancelAfter(StopGrace));
        var slots = new SemaphoreSlim(options.Value.Parallelism);
        // "signal" says that there may be more to send, "stateSignal" that the destination may have become available or unavailable.
        var signal = signals[Outbox.SignalName];
        var stateSignal = signals[Outbox.StateSignalName(destination)];
        var health = route.Health[destination];
        // Releases of leases and trials that this process may still hold: their claim was not confirmed, or the send ended with an exception. They run before the next
        // claim, so that nobody has to wait until the leases expire.
        var pendingReleases = new ConcurrentQueue<Func<CancellationToken, Task>>();
        var registered = false;
        var lastProbeFailed = false;
        try
        {
            while (true)
            {
                await slots.WaitAsync(stoppingToken);
                slots.Release();
                // Read both versions before querying, so that a signal that arrives after the query ends the wait in WaitOrStartTrialAsync at once.
                var (seen, seenState) = (signal.Version, stateSignal.Version);
                try
                {
                    if (!registered)
                    {
                        await store.RegisterDestinationAsync(destination, stoppingToken);
                        registered = true;
                    }

                    while (pendingReleases.TryPeek(out var release))
                    {
                        await release(stoppingToken);
                        pendingReleases.TryDequeue(out _);
                    }

                    var keys = await ClaimAsync(lease => store.ClaimKeysAsync(destination, lease, slots.CurrentCount, stoppingToken));
                    foreach (var key in keys)
                    {
                        Start(key, trial: null);
                    }

                    if (keys.Count == 0)
                    {
                        await WaitOrStartTrialAsync(seen, seenState);
                    }
                }
                // Catch everything: if this loop ended, the outbox would not be sent until the process restarts.
                catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
                {
                    LogDispatchFailed(logger, DatabaseProblems.IsUnavailable(exception) ? null : exception, destination, exception.Message);
                    await Task.Delay(options.Value.PollInterval, time, stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Wait until every message in flight is sent, or aborted at the end of StopGrace.
            for (var i = 0; i < options.Value.Parallelism; i++)
            {
                await slots.WaitAsync(CancellationToken.None);
            }

            await ReleaseOnStopAsync(pendingReleases);
        }

        async Task<IReadOnlyList<ClaimedKey>> ClaimAsync(Func<Guid, Task<IReadOnlyList<ClaimedKey>>> claim)
        {
            var lease = Guid.NewGuid();
            try
            {
                return await claim(lease);
            }
            catch
            {
                pendingReleases.Enqueue(token => store.ReleaseAsync(destination, lease, token));
                throw;
            }
        }

        void Start(ClaimedKey key, Guid? trial)
        {
            slots.Wait(CancellationToken.None);
            _ = Task.Run(async () =>
            {
                try
                {
                    await sender.SendAsync(key, trial, stoppingToken, sending.Token);
                }
                catch (Exception exception)
                {
                    LogInterrupted(logger, key.Destination, key.PartitionKey, exception.Message);
                    pendingReleases.Enqueue(token => store.ReleaseAsync(key, token));
                    if (trial is { } begun)
                    {
                        pendingReleases.Enqueue(token => store.AbandonTrialAsync(key.Destination, begun, token));
                    }
                }
                finally
                {
                    slots.Release();
                    signal.Wake();
                    stateSignal.Wake();
                }
            }, CancellationToken.None);
        }

        async Task TryAsync(Guid trial)
        {
            try
            {
                if (!await store.StartTrialAsync(destination, trial, stoppingToken))
                {
                    return;
                }

                if (await ClaimAsync(lease => store.ClaimTrialKeyAsync(destination, lease, stoppingToken)) is [var key])
                {
                    Start(key, trial);
                }
                else
                {
                    await store.AbandonTrialAsync(destination, trial, stoppingToken);
                }
            }
            catch
            {
                pendingReleases.Enqueue(token => store.AbandonTrialAsync(destination, trial, token));
                throw;
            }
        }

        // Called when no key could be claimed: none is due, all that are due are leased, or the destination is unavailable.
        async Task WaitOrStartTrialAsync(long seen, long seenState)
        {
            var state = await store.GetStateAsync(destination, stoppingToken);
            if (state is { Unavailable: true, TrialInSeconds: <= 0, DueInSeconds: <= 0 })
            {
                // An open breaker in this process would refuse the trial although the destination may have recovered. Probe first; if the probe succeeds, the breaker
                // becomes half-open. The trial starts either way, and its back-off grows if it fails.
                if (health.Breaker.State == CircuitState.Open)
                {
                    lastProbeFailed = await health.FindErrorAsync(stoppingToken) is not null;
                    if (!lastProbeFailed)
                    {
                        health.Breaker.ProbeSucceeded();
                    }
                }

                await TryAsync(Guid.NewGuid());
            }

            if (state is { Unavailable: true, TrialInSeconds: > 1, DueInSeconds: not null })
            {
                // The next trial may be MaxBackoff (30 s) away, so probe every second meanwhile and bring the trial forward when a probe succeeds after a failed one. If
                // /ready never failed, the probe can't see this outage, so the back-off is kept.
                var isUnavailable = await health.FindErrorAsync(stoppingToken) is not null;
                if (lastProbeFailed && !isUnavailable)
                {
                    health.Breaker.ProbeSucceeded();
                }

                // AllowTrialAsync returns false while a trial is in flight. That trial may have started before the recovery and may fail, so try again after the next probe.
                lastProbeFailed = isUnavailable || (lastProbeFailed && !await store.AllowTrialAsync(destination, stoppingToken));
                await stateSignal.WaitAsync(seenState, ProbeInterval * (0.8 + Random.Shared.NextDouble() * 0.2), stoppingToken);
                return;
            }

            lastProbeFailed &= state.Unavailable;
            var wait = options.Value.PollInterval.TotalSeconds * (0.9 + Random.Shared.NextDouble() * 0.2);
            if (state.DueInSeconds is { } due)
            {
                wait = Math.Min(wait, Math.Max(due, state.Unavailable ? state.TrialInSeconds : 0) + 0.005);
            }

            var atMost = TimeSpan.FromSeconds(Math.Max(wait, 0.01));
            // While the destination is unavailable, a new message changes nothing. Waking up for each would scan the backlog each time.
            await (state is { Unavailable: true, DueInSeconds: not null } ? stateSignal.WaitAsync(seenState, atMost, stoppingToken) : signal.WaitAsync(seen, atMost, stoppingToken));
        }
    }

    // Best effort: what can't be released now is free when its lease expires.
    private async Task ReleaseOnStopAsync(IEnumerable<Func<CancellationToken, Task>> pendingReleases)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));
        try
        {
            foreach (var release in pendingReleases)
            {
                await release(deadline.Token);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException || DatabaseProblems.IsUnavailable(exception))
        {
            LogNotReleased(logger, exception.Message);
        }
    }

    [LoggerMessage(LogLevel.Warning, "Could not process the outbox for {Destination}, retrying: {Reason}")]
    private static partial void LogDispatchFailed(ILogger logger, Exception? exception, string destination, string reason);

    [LoggerMessage(LogLevel.Warning, "Sending the messages of key {PartitionKey} to {Destination} was interrupted and will be resumed: {Reason}")]
    private static partial void LogInterrupted(ILogger logger, string destination, Guid partitionKey, string reason);

    [LoggerMessage(LogLevel.Debug, "Could not release claimed keys and trials while stopping, so they become free when their leases expire: {Reason}")]
    private static partial void LogNotReleased(ILogger logger, string reason);
}
