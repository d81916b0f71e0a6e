using Platform.Drill.Planning;
using Platform.Drill.Systems;
using Platform.ResilienceTesting;

namespace Platform.Drill.Running;

/// <summary>Injects the planned faults.</summary>
internal sealed class FaultRunner(PlatformUnderDrill platform, History history)
{
    /// <summary>Injects one fault at its time and waits until it has ended. A fault around a commit is dropped if its commit has not occurred before <paramref name="operationsDone"/>.</summary>
    public async Task RunAsync(PlannedFault fault, CancellationToken operationsDone, CancellationToken cancellationToken)
    {
        var early = fault.At - (DateTimeOffset.UtcNow - history.Begin);
        if (early > TimeSpan.Zero)
            await Task.Delay(early, cancellationToken);
        if (fault.IsAroundCommit)
        {
            await AroundCommitAsync(fault, operationsDone, cancellationToken);
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

    private async Task AroundCommitAsync(PlannedFault fault, CancellationToken operationsDone, CancellationToken cancellationToken)
    {
        var trap = new CommitTrap(
            CommitPoints.MarkOf(fault.Point), fault.AfterCommit ? CommitMoment.BeforeItsReply : CommitMoment.BeforeItArrives, fault.Occurrence);
        foreach (var process in platform.Of(CommitPoints.RoleOf(fault.Point)))
            process.Database.Arm(trap);
        await using var end = operationsDone.Register(() => trap.Disarm());
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
        // Fails if another fault is affecting the process.
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
                    // Another fault is affecting the process, so this one is dropped.
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

        history.InjectedFaults.Enqueue(new(fault, victim.Name, start, DateTimeOffset.UtcNow, processId));
    }

    private async Task OnVictimAsync(PlannedFault fault, Func<DrilledService, Task> action)
    {
        var processes = platform.Of(fault.Role).ToList();
        for (var n = 0; n < processes.Count; n++)
        {
            // If another fault is affecting the process, the next one is tried.
            var process = processes[(fault.Index + n) % processes.Count];
            if (!await process.Victim.WaitAsync(TimeSpan.Zero))
                continue;
            try
            {
                var (start, processId) = (DateTimeOffset.UtcNow, process.ProcessId);
                await action(process);
                history.InjectedFaults.Enqueue(new(fault, process.Name, start, DateTimeOffset.UtcNow, processId));
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
                history.InjectedFaults.Enqueue(new(fault, "postgres", start, DateTimeOffset.UtcNow, null));
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
        // Replies to clients, or replies to other services, which only send messages.
        var proxy = fault.Role == Role.Backend && fault.Index % 4 < 2 ? process.Front : process.Inner;
        var start = DateTimeOffset.UtcNow;
        using var drop = proxy.Faults.DropReply(probability: 0.7);
        await Task.Delay(fault.Lasts, cancellationToken);
        if (drop.Struck > 0)
            history.InjectedFaults.Enqueue(new(fault, $"{process.Name} ({(proxy == process.Front ? "clients" : "services")})", start, DateTimeOffset.UtcNow, null));
    }

    private void DeleteCache(PlannedFault fault)
    {
        var processes = platform.Of(Role.Deployer).ToList();
        var process = processes[fault.Index % processes.Count];
        var start = DateTimeOffset.UtcNow;
        for (var attempt = 0; attempt < 5 && Directory.Exists(process.CacheDirectory); attempt++)
        {
            try
            {
                Directory.Delete(process.CacheDirectory, recursive: true);
            }
            catch (IOException)
            {
                // Files were being written.
            }
        }

        history.InjectedFaults.Enqueue(new(fault, process.Name, start, DateTimeOffset.UtcNow, null));
    }

    private void Kill(DrilledService process)
    {
        history.Outages.Enqueue((process.Name, DateTimeOffset.UtcNow, Back: false));
        process.Kill();
    }

    private async Task StartAgainAsync(DrilledService process, CancellationToken cancellationToken)
    {
        process.Start();
        // Waits until the process is ready, so that not all processes are down at the same time: starting takes longer than a schedule.
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(30));
        if (await IsReadyAsync())
            history.Outages.Enqueue((process.Name, DateTimeOffset.UtcNow, Back: true));

        async Task<bool> IsReadyAsync()
        {
            try
            {
                await process.ReadyAsync(limit.Token);
                return true;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // PostgreSQL is down too; HealAsync will wait for the process.
                return false;
            }
        }
    }
}
