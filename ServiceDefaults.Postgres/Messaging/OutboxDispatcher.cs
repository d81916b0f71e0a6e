using System.Collections.Concurrent;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>
/// Delivers the outbox: per destination, claims keys that have messages due and sends each key's messages in order, several keys in parallel. While a destination
/// is unavailable its messages wait, however long that takes, and one process at a time tries to deliver a single message (the trial). Only a refusal (400, 422) makes a
/// message a dead letter.
/// </summary>
internal sealed partial class OutboxDispatcher(
    OutboxRoute route, OutboxStore store, OutboxSender sender, Signals signals, DatabaseMigrations migrations, IOptions<MessagingOptions> options, TimeProvider time, ILogger<OutboxDispatcher> logger)
    : BackgroundService
{
    private static readonly TimeSpan ProbeInterval = TimeSpan.FromSeconds(1);

    // Messages being sent when the service stops get this long. After that their leases expire, and another process sends them.
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(2);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        await Task.WhenAll(route.Destinations.Select(destination => RunAsync(destination, stoppingToken)));
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
        // Releases of leases and trials that this process may hold but doesn't work on, because the database failed before it confirmed the claim or the result. They run
        // as soon as the database answers, so that nobody has to wait until the leases expire.
        var possiblyHeld = new ConcurrentQueue<Func<CancellationToken, Task>>();
        var registered = false;
        var wasUnavailable = false;
        try
        {
            while (true)
            {
                await slots.WaitAsync(stoppingToken);
                slots.Release();
                // Read before the database, so that a signal that arrives in between ends the wait below at once.
                var (seen, seenState) = (signal.Version, stateSignal.Version);
                try
                {
                    if (!registered)
                    {
                        await store.RegisterDestinationAsync(destination, stoppingToken);
                        registered = true;
                    }

                    while (possiblyHeld.TryPeek(out var release))
                    {
                        await release(stoppingToken);
                        possiblyHeld.TryDequeue(out _);
                    }

                    var keys = await ClaimAsync(lease => store.ClaimKeysAsync(destination, lease, slots.CurrentCount, stoppingToken));
                    foreach (var key in keys)
                    {
                        Start(key, trial: null);
                    }

                    if (keys.Count == 0)
                    {
                        await WaitOrTryAsync(seen, seenState);
                    }
                }
                // Whatever went wrong, the loop must go on: without it, accepted messages would stay here until the process restarts.
                catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
                {
                    LogDatabaseUnavailable(logger, DatabaseProblems.IsUnavailable(exception) ? null : exception, destination, exception.Message);
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

            await ReleaseOnStopAsync(possiblyHeld);
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
                possiblyHeld.Enqueue(token => store.ReleaseAsync(destination, lease, token));
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
                    possiblyHeld.Enqueue(token => store.ReleaseAsync(key, token));
                    if (trial is { } begun)
                    {
                        possiblyHeld.Enqueue(token => store.AbandonTrialAsync(key.Destination, begun, token));
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
                possiblyHeld.Enqueue(token => store.AbandonTrialAsync(destination, trial, token));
                throw;
            }
        }

        // Nothing could be claimed: either nothing is due, or the destination is unavailable.
        async Task WaitOrTryAsync(long seen, long seenState)
        {
            var state = await store.GetStateAsync(destination, stoppingToken);
            if (state is { Unavailable: true, TrialInSeconds: <= 0, DueInSeconds: <= 0 })
            {
                // This process's breaker may still be open although another process has already seen the destination recover. It would refuse the trial, so probe first.
                if (health.Breaker.State == CircuitState.Open)
                {
                    wasUnavailable = await health.FindErrorAsync(stoppingToken) is not null;
                    if (!wasUnavailable)
                    {
                        health.Breaker.ProbeAnswered();
                    }
                }

                await TryAsync(Guid.NewGuid());
            }

            if (state is { Unavailable: true, TrialInSeconds: > 1, DueInSeconds: not null })
            {
                // The next trial may be half a minute away, so probe meanwhile and bring the trial forward once the destination recovers. A destination that was ready all
                // along and still accepts no messages gets no earlier trial: its back-off stands.
                var isUnavailable = await health.FindErrorAsync(stoppingToken) is not null;
                if (wasUnavailable && !isUnavailable)
                {
                    health.Breaker.ProbeAnswered();
                }

                // AllowTrialAsync is refused while a trial is in flight. That one may have started before the recovery and fail, so ask again at the next probe.
                wasUnavailable = isUnavailable || (wasUnavailable && !await store.AllowTrialAsync(destination, stoppingToken));
                await stateSignal.WaitAsync(seenState, ProbeInterval * (0.8 + Random.Shared.NextDouble() * 0.2), stoppingToken);
                return;
            }

            wasUnavailable &= state.Unavailable;
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
    private async Task ReleaseOnStopAsync(IEnumerable<Func<CancellationToken, Task>> possiblyHeld)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));
        try
        {
            foreach (var release in possiblyHeld)
            {
                await release(deadline.Token);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException || DatabaseProblems.IsUnavailable(exception))
        {
            LogNotReleased(logger, exception.Message);
        }
    }

    [LoggerMessage(LogLevel.Warning, "The database is unavailable, so messages to {Destination} are waiting: {Reason}")]
    private static partial void LogDatabaseUnavailable(ILogger logger, Exception? exception, string destination, string reason);

    [LoggerMessage(LogLevel.Warning, "Sending the messages of key {PartitionKey} to {Destination} was interrupted and will be resumed: {Reason}")]
    private static partial void LogInterrupted(ILogger logger, string destination, Guid partitionKey, string reason);

    [LoggerMessage(LogLevel.Debug, "Could not release claimed keys while stopping, their leases will expire: {Reason}")]
    private static partial void LogNotReleased(ILogger logger, string reason);
}
