using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments.Queue;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Claims deployments and runs several at a time, renewing their leases meanwhile.</summary>
internal sealed partial class DeploymentWorker(
    WorkerLeases leases,
    ClaimNextDeployment claimNext,
    DeploymentRunner runner,
    Signals signals,
    IHostApplicationLifetime lifetime,
    IOptions<DeploymentOptions> options,
    TimeProvider time,
    ILogger<DeploymentWorker> logger) : BackgroundService
{
    public const string SignalName = "deployments";

    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(500);

    // Not disposed of, so that a run which ends late can release it; without a wait handle it holds no resources.
    private readonly SemaphoreSlim _slots = new(options.Value.Workers);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Stop claiming as soon as shutdown begins. stoppingToken alone would be too late: hosted services stop one after the other, and it is cancelled only at this one's turn.
        using var claiming = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, lifetime.ApplicationStopping);
        // Leases are renewed until the last run has ended, also while draining.
        using var stopRenewing = new CancellationTokenSource();
        var renewing = RepeatAsync(options.Value.LeaseRenewal, leases.RenewAsync, "renew leases", wake: signals[SignalName], stopRenewing.Token);
        var orphans = RepeatAsync(options.Value.OrphanCheck, ReleaseOrphansAsync, "release orphaned leases", wake: null, claiming.Token);
        await ClaimAsync(claiming.Token);
        await DrainAsync();
        await stopRenewing.CancelAsync();
        await Task.WhenAll(renewing, orphans);
    }

    private async Task ClaimAsync(CancellationToken cancellationToken)
    {
        var signal = signals[SignalName];
        try
        {
            while (true)
            {
                await _slots.WaitAsync(cancellationToken);
                // Read before claiming, so that a signal that arrives during the claim ends the wait below.
                var seen = signal.Version;
                if (await TryClaimAsync(cancellationToken) is not { } claim)
                {
                    _slots.Release();
                    await signal.WaitAsync(seen, options.Value.PollInterval, cancellationToken);
                    continue;
                }

                var running = new RunningDeployment(claim.Job, claim.Steps);
                leases.Add(running);
                running.Task = Task.Run(() => RunAsync(running), CancellationToken.None);
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
            return await claimNext.ExecuteAsync(await leases.GetWorkerAsync(cancellationToken), cancellationToken);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // The claim may have been committed although its answer got lost.
            leases.MayHoldForgotten();
            LogFailure(logger, DatabaseProblems.IsUnavailable(e) ? null : e, "claim deployments", e.Message);
            await Task.Delay(RetryDelay, time, cancellationToken);
            return null;
        }
    }

    private async Task RunAsync(RunningDeployment running)
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
            leases.Remove(running, outcomeRecorded);
            _slots.Release();
            // One deployment per shop runs at a time, so the end of this one may make another claimable, by any process.
            signals[SignalName].Set();
        }
    }

    private async Task ReleaseOrphansAsync(CancellationToken cancellationToken)
    {
        if (await leases.ReleaseOrphanedAsync(cancellationToken) is not (> 0 and var released))
            return;
        LogReleased(logger, released);
        signals[SignalName].Set();
    }

    private async Task DrainAsync()
    {
        var tasks = Task.WhenAll(leases.Running.Select(running => running.Task));
        try
        {
            await tasks.WaitAsync(options.Value.DrainTimeout, time);
        }
        catch (TimeoutException)
        {
            foreach (var running in leases.Running)
                running.Stop(StopReason.DrainTimedOut);
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
