using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>
/// Delivers the outbox: claims keys, sends what each has in order, and waits when a destination is away. Being unreachable is no failure of a
/// message, so it waits for as long as it takes; only a refusal (400, 422) makes it a dead letter.
/// </summary>
internal sealed partial class OutboxDispatcher(
    OutboxRoute route,
    OutboxStore store,
    IHttpClientFactory clients,
    Signals signals,
    ForgetDeadProcesses forgetDead,
    DatabaseMigrations migrations,
    Destinations destinations,
    MessagingMetrics metrics,
    Fallbacks fallbacks,
    IOptions<MessagingOptions> options,
    TimeProvider time,
    ILogger<OutboxDispatcher> logger) : BackgroundService
{
    private const int MaxErrorLength = 2_000;

    // how often a destination that is away is asked whether it is back
    private static readonly TimeSpan RecoveryProbe = TimeSpan.FromSeconds(1);

    // what is on its way when the service stops gets this long; the lease covers the rest
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(2);

    // a killed process is noticed within a second
    private static readonly TimeSpan OrphanCheck = TimeSpan.FromMilliseconds(500);

    public static string ClientName(string destination) => $"outbox-{destination}";

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        await Task.WhenAll([TakeOverAsync(stoppingToken), .. route.Destinations.Select(destination => RunAsync(destination, stoppingToken))]);
    }

    private async Task TakeOverAsync(CancellationToken stoppingToken)
    {
        var signal = signals[ForgetDeadProcesses.SignalName];
        // none: what died before this process started is looked for first
        long? released = null;
        while (true)
        {
            var seen = signal.Version;
            try
            {
                await forgetDead.ExecuteAsync(stoppingToken);
                if (released != signal.Version)
                {
                    var now = signal.Version;
                    foreach (var destination in route.Destinations)
                    {
                        if (await store.ReleaseOrphanedAsync(destination, stoppingToken) is > 0 and var count)
                        {
                            LogTakenOver(logger, count, destination);
                            signals[Outbox.StateSignalName(destination)].Set();
                            signals[Outbox.SignalName].Set();
                        }
                    }

                    released = now;
                }
            }
            catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
            {
                LogNotTakenOver(logger, DatabaseProblems.IsUnavailable(exception) ? null : exception, exception.Message);
            }

            await signal.WaitAsync(seen, OrphanCheck, stoppingToken);
        }
    }

    private async Task RunAsync(string destination, CancellationToken stoppingToken)
    {
        using var sending = new CancellationTokenSource();
        await using var stop = stoppingToken.Register(() => sending.CancelAfter(StopGrace));
        var slots = new SemaphoreSlim(options.Value.Parallelism);
        var signal = signals[Outbox.SignalName];
        var stateSignal = signals[Outbox.StateSignalName(destination)];
        var breaker = destinations[destination].Breaker;
        // what this process may hold and does not work on, because the database went away meanwhile: given back as soon as it answers, instead of when the lease is over
        var inDoubt = new ConcurrentQueue<Func<CancellationToken, Task>>();
        var registered = false;
        var seenDown = false;
        try
        {
            while (true)
            {
                await slots.WaitAsync(stoppingToken);
                slots.Release();
                var (seen, seenState) = (signal.Version, stateSignal.Version);
                try
                {
                    if (!registered)
                    {
                        await store.RegisterDestinationAsync(destination, stoppingToken);
                        registered = true;
                    }

                    while (inDoubt.TryPeek(out var giveBack))
                    {
                        await giveBack(stoppingToken);
                        inDoubt.TryDequeue(out _);
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
                // whatever it is: what was accepted is not left lying here for the rest of this process's life
                catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
                {
                    LogDatabaseAway(logger, DatabaseProblems.IsUnavailable(exception) ? null : exception, destination, exception.Message);
                    await Task.Delay(options.Value.PollInterval, time, stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // what is being sent finishes or is cut off by the grace period
            for (var i = 0; i < options.Value.Parallelism; i++)
            {
                await slots.WaitAsync(CancellationToken.None);
            }

            await GiveBackAsync(inDoubt);
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
                inDoubt.Enqueue(token => store.ReleaseAsync(destination, lease, token));
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
                    await SendKeyAsync(key, trial, stoppingToken, sending.Token);
                }
                catch (Exception exception)
                {
                    LogInterrupted(logger, key.Destination, key.PartitionKey, exception.Message);
                    inDoubt.Enqueue(token => store.ReleaseAsync(key, token));
                    if (trial is { } begun)
                    {
                        inDoubt.Enqueue(token => store.AbandonTrialAsync(key.Destination, begun, token));
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
                inDoubt.Enqueue(token => store.AbandonTrialAsync(destination, trial, token));
                throw;
            }
        }

        async Task WaitOrTryAsync(long seen, long seenState)
        {
            var state = await store.GetStateAsync(destination, stoppingToken);
            if (state is { Away: true, TrialInSeconds: <= 0, DueInSeconds: <= 0 })
            {
                // the breaker would refuse the trial, though another process may have seen the return by now
                if (breaker.State == CircuitState.Open)
                {
                    seenDown = await destinations[destination].FindErrorAsync(stoppingToken) is not null;
                    if (!seenDown)
                    {
                        breaker.ProbeAnswered();
                    }
                }

                await TryAsync(Guid.NewGuid());
            }

            if (state is { Away: true, TrialInSeconds: > 1, DueInSeconds: not null })
            {
                // its return is noticed by asking, and not at the end of a back-off of up to half a minute. One that is ready and yet takes no messages is left to that
                var down = await destinations[destination].FindErrorAsync(stoppingToken) is not null;
                if (seenDown && !down)
                {
                    breaker.ProbeAnswered();
                }

                // a trial that is under way may have begun too early
                seenDown = down || (seenDown && !await store.AllowTrialAsync(destination, stoppingToken));
                await stateSignal.WaitAsync(seenState, RecoveryProbe * (0.8 + Random.Shared.NextDouble() * 0.2), stoppingToken);
                return;
            }

            seenDown &= state.Away;
            var wait = options.Value.PollInterval.TotalSeconds * (0.9 + Random.Shared.NextDouble() * 0.2);
            if (state.DueInSeconds is { } due)
            {
                wait = Math.Min(wait, Math.Max(due, state.Away ? state.TrialInSeconds : 0) + 0.005);
            }

            var atMost = TimeSpan.FromSeconds(Math.Max(wait, 0.01));
            // while it is away, one message more to it is nothing to look for: its backlog would be searched at each
            await (state is { Away: true, DueInSeconds: not null } ? stateSignal.WaitAsync(seenState, atMost, stoppingToken) : signal.WaitAsync(seen, atMost, stoppingToken));
        }
    }

    // best effort: what can't be given back now is taken up when its lease is over
    private async Task GiveBackAsync(IEnumerable<Func<CancellationToken, Task>> inDoubt)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));
        try
        {
            foreach (var giveBack in inDoubt)
            {
                await giveBack(deadline.Token);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException || DatabaseProblems.IsUnavailable(exception))
        {
            LogNotGivenBack(logger, exception.Message);
        }
    }

    private async Task SendKeyAsync(ClaimedKey key, Guid? trial, CancellationToken stoppingToken, CancellationToken cancellationToken)
    {
        foreach (var message in await store.GetHeadAsync(key, options.Value.BatchSize, cancellationToken))
        {
            if (stoppingToken.IsCancellationRequested)
            {
                break;
            }

            using var correlation = message.CorrelationId is { } id ? CorrelationContext.Begin(id) : null;
            using var activity = PlatformTelemetry.Source.StartActivity($"send {message.Type}", ActivityKind.Producer, message.Traceparent);
            activity?.SetTag("messaging.operation.type", "send").SetTag("messaging.destination.name", message.Destination)
                .SetTag("messaging.message.id", message.Id.ToString()).SetTag("correlation.id", message.CorrelationId);

            var answer = await PostAsync(message, cancellationToken);
            activity?.SetTag("platform.messaging.outcome", answer.Outcome.ToString());
            switch (answer.Outcome)
            {
                case Outcome.Taken:
                    metrics.Delivered(message.Destination, message.Type, time.GetUtcNow().UtcDateTime - message.CreatedAt);
                    var pending = await store.CompleteAsync(key, message.Id, cancellationToken);
                    await MarkReachableAfterTrialAsync();
                    if (pending is null or 0)
                    {
                        return;
                    }

                    continue;

                case Outcome.Refused:
                    metrics.Sent(message.Destination, message.Type, "refused");
                    activity?.SetStatus(ActivityStatusCode.Error, answer.Error);
                    await store.MarkDeadAsync(key, message.Id, answer.Error, cancellationToken);
                    LogDead(logger, message.Type, message.Id, message.PartitionKey, message.Destination, answer.Error);
                    await MarkReachableAfterTrialAsync();
                    return;

                case Outcome.Failed:
                    metrics.Sent(message.Destination, message.Type, "failed");
                    await store.PostponeKeyAsync(key, message.Id, answer.Error, cancellationToken);
                    LogFailed(logger, message.Destination, message.Type, message.Id, answer.Error);
                    await MarkReachableAfterTrialAsync();
                    return;

                default:
                    metrics.Sent(message.Destination, message.Type, "postponed");
                    await store.PostponeDestinationAsync(key, trial, answer.Error, answer.RetryAfter, cancellationToken);
                    fallbacks.Use(route.Waiting[message.Destination]);
                    LogAway(logger, message.Destination, answer.Error);
                    return;
            }
        }

        await store.ReleaseAsync(key, cancellationToken);

        async Task MarkReachableAfterTrialAsync()
        {
            if (trial is not null && await store.MarkReachableAsync(key.Destination, cancellationToken))
            {
                trial = null;
                LogBack(logger, key.Destination);
                signals[Outbox.StateSignalName(key.Destination)].Set();
            }
        }
    }

    private async Task<Answer> PostAsync(StoredMessage message, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.Value.SendTimeout);
        try
        {
            using var client = clients.CreateClient(ClientName(message.Destination));
            using var request = new HttpRequestMessage(HttpMethod.Post, "/messages") { Content = ContentOf(message) };
            using var response = await client.SendAsync(request, deadline.Token);
            return response.StatusCode switch
            {
                >= HttpStatusCode.OK and < HttpStatusCode.MultipleChoices => new(Outcome.Taken, ""),
                HttpStatusCode.BadRequest or HttpStatusCode.UnprocessableEntity => new(Outcome.Refused, await DescribeAsync(response, deadline.Token)),
                // the receiver is there and failed on this very message
                HttpStatusCode.InternalServerError => new(Outcome.Failed, await DescribeAsync(response, deadline.Token)),
                _ => new(Outcome.Away, await DescribeAsync(response, deadline.Token), RetryAfterOf(response)),
            };
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new(Outcome.Away, $"No answer within {options.Value.SendTimeout.TotalSeconds:0.#} s.");
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // connection refused or reset, an open breaker, a limiter: none of them says anything about the message
            return new(Outcome.Away, exception.Message);
        }
    }

    private ByteArrayContent ContentOf(StoredMessage message)
    {
        using var data = JsonDocument.Parse(message.Data);
        var content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(new CloudEvent
        {
            SpecVersion = "1.0",
            Id = message.Id.ToString(),
            Source = route.Source,
            Type = message.Type,
            Subject = message.Subject,
            Time = new(message.CreatedAt, TimeSpan.Zero),
            DataContentType = "application/json",
            PartitionKey = message.PartitionKey,
            Sequence = message.Sequence,
            TraceParent = message.Traceparent,
            CorrelationId = message.CorrelationId,
            Data = data.RootElement,
        }, PlatformJson.Tolerant));
        content.Headers.ContentType = new MediaTypeHeaderValue(CloudEvent.ContentType, "utf-8");
        return content;
    }

    private TimeSpan? RetryAfterOf(HttpResponseMessage response) =>
        response.Headers.RetryAfter is not { } retryAfter ? null : retryAfter.Delta ?? retryAfter.Date - time.GetUtcNow();

    private static async Task<string> DescribeAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var body = await response.Content.ReadAsStringAsync(cancellationToken);
        var text = $"{(int)response.StatusCode} {response.ReasonPhrase}: {body.Replace('\0', ' ')}";
        return text.Length <= MaxErrorLength ? text : text[..MaxErrorLength];
    }

    [LoggerMessage(LogLevel.Warning, "{Destination} does not take messages now, they wait: {Reason}")]
    private static partial void LogAway(ILogger logger, string destination, string reason);

    [LoggerMessage(LogLevel.Information, "{Destination} takes messages again")]
    private static partial void LogBack(ILogger logger, string destination);

    [LoggerMessage(LogLevel.Warning, "{Destination} failed on {Type} {Id}, it is tried again: {Reason}")]
    private static partial void LogFailed(ILogger logger, string destination, string type, Guid id, string reason);

    [LoggerMessage(LogLevel.Error, "{Type} {Id} of key {PartitionKey} was refused by {Destination} and is a dead letter now: {Reason}")]
    private static partial void LogDead(ILogger logger, string type, Guid id, Guid partitionKey, string destination, string reason);

    [LoggerMessage(LogLevel.Warning, "The database is unavailable, messages to {Destination} wait: {Reason}")]
    private static partial void LogDatabaseAway(ILogger logger, Exception? exception, string destination, string reason);

    [LoggerMessage(LogLevel.Warning, "Sending to {Destination} for key {PartitionKey} was interrupted and is taken up again: {Reason}")]
    private static partial void LogInterrupted(ILogger logger, string destination, Guid partitionKey, string reason);

    [LoggerMessage(LogLevel.Information, "Took {Count} keys to {Destination} over from processes that are gone")]
    private static partial void LogTakenOver(ILogger logger, int count, string destination);

    [LoggerMessage(LogLevel.Debug, "Dead processes are looked for later: {Reason}")]
    private static partial void LogNotTakenOver(ILogger logger, Exception? exception, string reason);

    [LoggerMessage(LogLevel.Debug, "Keys were not given back at the stop: {Reason}")]
    private static partial void LogNotGivenBack(ILogger logger, string reason);

    private enum Outcome
    {
        Taken,
        Refused,
        Failed,
        Away,
    }

    private sealed record Answer(Outcome Outcome, string Error, TimeSpan? RetryAfter = null);
}
