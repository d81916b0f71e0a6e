using System.Collections.Concurrent;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments.Queue;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Claims deployments and runs several at a time, renews their leases, and releases the deployments of workers that died or whose lease expired.</summary>
internal sealed partial class DeploymentWorker(
    ProcessSession session,
    ClaimNextDeployment claimNext,
    RenewLeases renewLeases,
    ReleaseOrphanedLeases releaseOrphans,
    ReleaseForgottenLeases releaseForgotten,
    DeploymentRunner runner,
    Signals signals,
    IHostApplicationLifetime lifetime,
    IOptions<DeploymentOptions> options,
    TimeProvider time,
    ILogger<DeploymentWorker> logger) : BackgroundService
{
    public const string SignalName = "deployments";

    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(500);

    private readonly ConcurrentDictionary<(Guid Id, long FencingToken), RunningDeployment> _running = new();

    // True after a claim failed or an outcome could not be recorded: the database may then list this process as the holder of a deployment that it isn't running.
    private volatile bool _mayHoldForgottenLeases;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Stop claiming as soon as shutdown begins. stoppingToken alone would be too late: hosted services stop one after the other, and it is cancelled only at this one's turn.
        using var claiming = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, lifetime.ApplicationStopping);
        // Leases are renewed until the last run has ended, also while draining.
        using var stopRenewing = new CancellationTokenSource();
        var renewing = RepeatAsync(options.Value.LeaseRenewal, RenewAsync, "renew leases", wake: signals[SignalName], stopRenewing.Token);
        var orphans = RepeatAsync(options.Value.OrphanCheck, ReleaseOrphansAsync, "release orphaned leases", wake: null, claiming.Token);
        await ClaimAsync(claiming.Token);
        await DrainAsync();
        await stopRenewing.CancelAsync();
        await Task.WhenAll(renewing, orphans);
    }

    private async Task ClaimAsync(CancellationToken cancellationToken)
    {
        using var slots = new SemaphoreSlim(options.Value.Workers);
        var signal = signals[SignalName];
        try
        {
            while (true)
            {
                await slots.WaitAsync(cancellationToken);
                // Read before claiming, so that a signal that arrives during the claim ends the wait below.
                var seen = signal.Version;
                var claimed = await TryClaimAsync(cancellationToken);
                if (claimed is not { } claim)
                {
                    slots.Release();
                    await signal.WaitAsync(seen, options.Value.PollInterval, cancellationToken);
                    continue;
                }

                var running = new RunningDeployment(claim.Job, claim.Steps);
                _running[running.Key] = running;
                running.Task = Task.Run(() => RunAsync(running, slots), CancellationToken.None);
            }
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // The process is stopping. A cancelled SQL command may throw any exception.
        }
    }

    private async Task<(DeploymentJob Job, IReadOnlyList<StepState> Steps)?> TryClaimAsync(CancellationToken cancellationToken)
    {
        try
        {
            var worker = await session.GetIdAsync(cancellationToken);
            if (_mayHoldForgottenLeases)
            {
                _mayHoldForgottenLeases = false;
                await releaseForgotten.ExecuteAsync(worker, _running.ContainsKey, cancellationToken);
            }

            return await claimNext.ExecuteAsync(worker, cancellationToken);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // The claim may have been committed although its answer got lost.
            _mayHoldForgottenLeases = true;
            LogFailure(logger, DatabaseProblems.IsUnavailable(e) ? null : e, "claim deployments", e.Message);
            await Task.Delay(RetryDelay, time, cancellationToken);
            return null;
        }
    }

    private async Task RunAsync(RunningDeployment running, SemaphoreSlim slots)
    {
        var outcomeRecorded = true;
        try
        {
            await runner.RunAsync(running);
        }
        catch (Exception e)
        {
            outcomeRecorded = false;
            LogOutcomeNotRecorded(logger, DatabaseProblems.IsUnavailable(e) ? null : e, running.Job.Id, e.Message);
        }
        finally
        {
            _running.TryRemove(running.Key, out _);
            // Set only after the removal from _running: releasing forgotten leases skips the deployments that are in it.
            if (!outcomeRecorded)
                _mayHoldForgottenLeases = true;
            running.Dispose();
            try
            {
                slots.Release();
            }
            catch (ObjectDisposedException)
            {
                // Claiming has ended, and disposed of the semaphore.
            }

            // One deployment per shop runs at a time, so the end of this one may make another claimable, by any process.
            signals[SignalName].Set();
        }
    }

    private async Task RenewAsync(CancellationToken cancellationToken)
    {
        var running = _running.Values.ToList();
        if (running.Count == 0)
            return;
        var held = (await renewLeases.ExecuteAsync([.. running.Select(r => (DeploymentLease)r.Job)], cancellationToken)).ToDictionary(lease => (lease.Id, lease.FencingToken));
        foreach (var deployment in running)
        {
            if (!held.TryGetValue(deployment.Key, out var lease))
                deployment.Stop(StopReason.LeaseLost);
            else if (lease.CancelRequested)
                deployment.Stop(StopReason.Cancelled);
        }
    }

    private async Task ReleaseOrphansAsync(CancellationToken cancellationToken)
    {
        if (session.Id is null || await releaseOrphans.ExecuteAsync(cancellationToken) is not (> 0 and var released))
            return;
        LogReleased(logger, released);
        signals[SignalName].Set();
    }

    private async Task DrainAsync()
    {
        var tasks = Task.WhenAll(_running.Values.Select(running => running.Task));
        try
        {
            await tasks.WaitAsync(options.Value.DrainTimeout, time);
        }
        catch (TimeoutException)
        {
            foreach (var running in _running.Values)
                running.Stop(StopReason.Draining);
            await tasks;
        }
    }

    private async Task RepeatAsync(TimeSpan interval, Func<CancellationToken, Task> action, string what, Signal? wake, CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                var seen = wake?.Version ?? 0;
                try
                {
                    await action(cancellationToken);
                }
                catch (Exception e) when (!cancellationToken.IsCancellationRequested)
                {
                    LogFailure(logger, DatabaseProblems.IsUnavailable(e) ? null : e, what, e.Message);
                }

                await (wake?.WaitAsync(seen, interval, cancellationToken) ?? Task.Delay(interval, time, cancellationToken));
            }
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // The process is stopping. A cancelled SQL command may throw any exception.
        }
    }

    [LoggerMessage(LogLevel.Warning, "Could not {What}: {Reason}")]
    private static partial void LogFailure(ILogger logger, Exception? exception, string what, string reason);

    [LoggerMessage(LogLevel.Warning, "Could not record the outcome of deployment {DeploymentId}, returning it to the queue: {Reason}")]
    private static partial void LogOutcomeNotRecorded(ILogger logger, Exception? exception, Guid deploymentId, string reason);

    [LoggerMessage(LogLevel.Warning, "Released {Count} deployments whose worker died or whose lease expired")]
    private static partial void LogReleased(ILogger logger, int count);
}

/// <summary>Why a running deployment was told to stop.</summary>
internal enum StopReason
{
    None,
    LeaseLost,
    Cancelled,
    Draining,
}

/// <summary>A deployment that this process runs.</summary>
internal sealed class RunningDeployment(DeploymentJob job, IReadOnlyList<StepState> steps) : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private int _reason;

    public DeploymentJob Job { get; } = job;

    public IReadOnlyList<StepState> Steps { get; } = steps;

    public (Guid, long) Key => (Job.Id, Job.FencingToken);

    public Task Task { get; set; } = Task.CompletedTask;

    public CancellationToken Stopped => _stop.Token;

    /// <summary>The first reason given to <see cref="Stop"/>.</summary>
    public StopReason Reason => (StopReason)Volatile.Read(ref _reason);

    public void Stop(StopReason reason)
    {
        if (Interlocked.CompareExchange(ref _reason, (int)reason, (int)StopReason.None) != (int)StopReason.None)
            return;
        try
        {
            _stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The run has ended in the meantime.
        }
    }

    public void Dispose() => _stop.Dispose();
}
