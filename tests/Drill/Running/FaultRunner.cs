using Platform.Drill.Planning;
using Platform.Drill.Systems;
using Platform.ResilienceTesting;

namespace Platform.Drill.Running;

/// <summary>Makes the planned faults happen.</summary>
internal sealed class FaultRunner(PlatformUnderDrill platform, History history)
{
    /// <summary>Does one fault, at its time, from beginning to end. One around a commit that did not come until <paramref name="enough"/> does not happen.</summary>
    public async Task RunAsync(PlannedFault fault, CancellationToken enough, CancellationToken cancellationToken)
    {
        var early = fault.At - (DateTimeOffset.UtcNow - history.Begin);
        if (early > TimeSpan.Zero)
            await Task.Delay(early, cancellationToken);
        if (fault.IsAroundCommit)
        {
            await AroundCommitAsync(fault, enough, cancellationToken);
            return;
        }

        switch (fault.Kind)
        {
            case FaultKind.Kill:
                await OnVictimAsync(fault, async process =>
                {
                    Kill(process);
                    await Task.Delay(fault.Lasts, cancellationToken);
                    await StartAgainAsync(process, cancellationToken);
                });
                break;
            case FaultKind.Pause:
                await OnVictimAsync(fault, async process =>
                {
                    process.Pause();
                    await Task.Delay(fault.Lasts, cancellationToken);
                    process.Resume();
                });
                break;
            case FaultKind.ConnectionStorm:
                await OnPostgresAsync(fault, async () => await platform.UseUpConnectionsAsync(fault.Lasts, cancellationToken) > 0);
                break;
            case FaultKind.PostgresStopped:
                await OnPostgresAsync(fault, async () =>
                {
                    await platform.StopPostgresHardAsync(fault.Lasts, cancellationToken);
                    return true;
                });
                break;
            case FaultKind.RepliesDropped:
                await DropRepliesAsync(fault, cancellationToken);
                break;
            case FaultKind.CacheDeleted:
                DeleteCache(fault);
                break;
        }
    }

    private async Task AroundCommitAsync(PlannedFault fault, CancellationToken enough, CancellationToken cancellationToken)
    {
        var trap = new CommitTrap(
            CommitPoints.MarkOf(fault.Point), fault.AfterCommit ? CommitMoment.BeforeItsReply : CommitMoment.BeforeItArrives, fault.Occurrence);
        foreach (var process in platform.Of(CommitPoints.RoleOf(fault.Point)))
            process.Database.Arm(trap);
        await using var end = enough.Register(() => trap.Disarm());
        HeldCommit held;
        try
        {
            held = await trap.Held;
        }
        catch (OperationCanceledException)
        {
            return;
        }

        var victim = platform.Processes.Single(process => process.Database == held.Proxy);
        var start = DateTimeOffset.UtcNow;
        var processId = victim.ProcessId;
        // whoever else is at work on the process is done with it first; until then the commit waits
        var mine = fault.Kind is not (FaultKind.CutBeforeCommit or FaultKind.CutAfterCommit or FaultKind.Delay) && await victim.Victim.WaitAsync(TimeSpan.Zero, cancellationToken);
        try
        {
            switch (fault.Kind)
            {
                case FaultKind.KillBeforeCommit or FaultKind.KillAfterCommit when mine:
                    Kill(victim);
                    held.Cut();
                    await Task.Delay(fault.Lasts, cancellationToken);
                    await StartAgainAsync(victim, cancellationToken);
                    break;
                case FaultKind.PauseBeforeCommit or FaultKind.PauseAfterCommit when mine:
                    victim.Pause();
                    await Task.Delay(fault.Lasts, cancellationToken);
                    victim.Resume();
                    held.Release();
                    break;
                case FaultKind.Delay:
                    await Task.Delay(fault.Lasts, cancellationToken);
                    held.Release();
                    break;
                case FaultKind.CutBeforeCommit or FaultKind.CutAfterCommit:
                    held.Cut();
                    break;
                default:
                    // the process has another fault just now
                    held.Release();
                    return;
            }
        }
        finally
        {
            held.Release();
            if (mine)
                victim.Victim.Release();
        }

        history.Strikes.Enqueue(new(fault, victim.Name, start, DateTimeOffset.UtcNow, processId));
    }

    private async Task OnVictimAsync(PlannedFault fault, Func<DrilledService, Task> action)
    {
        var processes = platform.Of(fault.Role).ToList();
        for (var n = 0; n < processes.Count; n++)
        {
            // the next one when this has another fault just now
            var process = processes[(fault.Index + n) % processes.Count];
            if (!await process.Victim.WaitAsync(TimeSpan.Zero))
                continue;
            try
            {
                var (start, processId) = (DateTimeOffset.UtcNow, process.ProcessId);
                await action(process);
                history.Strikes.Enqueue(new(fault, process.Name, start, DateTimeOffset.UtcNow, processId));
                return;
            }
            finally
            {
                process.Victim.Release();
            }
        }
    }

    private async Task OnPostgresAsync(PlannedFault fault, Func<Task<bool>> action)
    {
        await platform.PostgresVictim.WaitAsync();
        try
        {
            var start = DateTimeOffset.UtcNow;
            if (await action())
                history.Strikes.Enqueue(new(fault, "postgres", start, DateTimeOffset.UtcNow, null));
        }
        finally
        {
            platform.PostgresVictim.Release();
        }
    }

    private async Task DropRepliesAsync(PlannedFault fault, CancellationToken cancellationToken)
    {
        var processes = platform.Of(fault.Role).ToList();
        var process = processes[fault.Index % processes.Count];
        // those to clients, or those to other services, who ask a deployer or a backend for nothing but to take a message
        var proxy = fault.Role == Role.Backend && fault.Index % 4 < 2 ? process.Front : process.Inner;
        var start = DateTimeOffset.UtcNow;
        using var drop = proxy.Faults.DropReply(probability: 0.7);
        await Task.Delay(fault.Lasts, cancellationToken);
        if (drop.Struck > 0)
            history.Strikes.Enqueue(new(fault, $"{process.Name} ({(proxy == process.Front ? "clients" : "services")})", start, DateTimeOffset.UtcNow, null));
    }

    private void DeleteCache(PlannedFault fault)
    {
        var processes = platform.Of(Role.Deployer).ToList();
        var process = processes[fault.Index % processes.Count];
        var start = DateTimeOffset.UtcNow;
        for (var tried = 0; tried < 5 && Directory.Exists(process.CacheDirectory); tried++)
        {
            try
            {
                Directory.Delete(process.CacheDirectory, recursive: true);
            }
            catch (IOException)
            {
                // it was being written to
            }
        }

        history.Strikes.Enqueue(new(fault, process.Name, start, DateTimeOffset.UtcNow, null));
    }

    private void Kill(DrilledService process)
    {
        history.Absences.Enqueue((process.Name, DateTimeOffset.UtcNow, Back: false));
        process.Kill();
    }

    private async Task StartAgainAsync(DrilledService process, CancellationToken cancellationToken)
    {
        process.Start();
        // until it is ready, so that not everything is down at once: a process takes longer to come back than a schedule to go by
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(30));
        if (await IsReadyAsync())
            history.Absences.Enqueue((process.Name, DateTimeOffset.UtcNow, Back: true));

        async Task<bool> IsReadyAsync()
        {
            try
            {
                await process.ReadyAsync(limit.Token);
                return true;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // PostgreSQL is away too; healing waits for it
                return false;
            }
        }
    }
}
