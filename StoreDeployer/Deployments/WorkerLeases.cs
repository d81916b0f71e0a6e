using System.Collections.Concurrent;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments.Queue;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Renews the leases of the deployments that this process runs, and releases those that no worker renews any more.</summary>
internal sealed class WorkerLeases(ProcessSession session, RenewLeases renewLeases, ReleaseForgottenLeases releaseForgotten, ReleaseOrphanedLeases releaseOrphaned)
{
    private readonly ConcurrentDictionary<(Guid Id, long FencingToken), RunningDeployment> _running = new();

    // True after a claim failed or an outcome could not be recorded: the database may then list this process as the holder of a deployment that it isn't running.
    private volatile bool _mayHoldForgotten;

    public ICollection<RunningDeployment> Running => _running.Values;

    public void Add(RunningDeployment running) => _running[running.Key] = running;

    public void Remove(RunningDeployment running, bool outcomeRecorded)
    {
        _running.TryRemove(running.Key, out _);
        // Set only after the removal: releasing forgotten leases skips the deployments that run.
        if (!outcomeRecorded)
            MayHoldForgotten();
        running.Dispose();
    }

    public void MayHoldForgotten() => _mayHoldForgotten = true;

    /// <summary>Waits for the identity to claim under, and releases the leases that it holds without running their deployments.</summary>
    public async Task<Guid> GetWorkerAsync(CancellationToken cancellationToken)
    {
        var worker = await session.GetIdAsync(cancellationToken);
        if (_mayHoldForgotten)
        {
            _mayHoldForgotten = false;
            await releaseForgotten.ExecuteAsync(worker, _running.ContainsKey, cancellationToken);
        }

        return worker;
    }

    /// <summary>Renews the leases, and stops the deployments whose lease is lost or that are to be cancelled.</summary>
    public async Task RenewAsync(CancellationToken cancellationToken)
    {
        var running = _running.Values;
        if (running.Count == 0)
            return;
        var held = (await renewLeases.ExecuteAsync([.. running.Select(r => r.Job)], cancellationToken)).ToDictionary(lease => (lease.Id, lease.FencingToken));
        foreach (var deployment in running)
        {
            if (!held.TryGetValue(deployment.Key, out var lease))
                deployment.Stop(StopReason.LeaseLost);
            else if (lease.CancelRequested)
                deployment.Stop(StopReason.Cancelled);
        }
    }

    /// <summary>Releases the deployments of workers that died or whose lease expired.</summary>
    /// <returns>How many were released.</returns>
    public async Task<int> ReleaseOrphanedAsync(CancellationToken cancellationToken) =>
        session.Id is null ? 0 : await releaseOrphaned.ExecuteAsync(cancellationToken);
}

/// <summary>Why a running deployment was told to stop.</summary>
internal enum StopReason
{
    None,
    LeaseLost,
    Cancelled,
    DrainTimedOut,
}

/// <summary>A deployment that this process runs.</summary>
internal sealed class RunningDeployment(DeploymentJob job, IReadOnlyList<StepState> steps) : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private volatile StopReason _reason;

    public DeploymentJob Job { get; } = job;

    public IReadOnlyList<StepState> Steps { get; } = steps;

    public (Guid, long) Key => (Job.Id, Job.FencingToken);

    public Task Task { get; set; } = Task.CompletedTask;

    public CancellationToken Stopped => _stop.Token;

    /// <summary>The first reason given to <see cref="Stop"/>.</summary>
    public StopReason Reason => _reason;

    public void Stop(StopReason reason)
    {
        if (Interlocked.CompareExchange(ref _reason, reason, StopReason.None) != StopReason.None)
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
