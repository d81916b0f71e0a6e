using System.Diagnostics;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments.Queue;

namespace Platform.StoreDeployer.Deployments;

/// <summary>
/// Tracks the steps of one run and records changes in the background, at most once per interval: a commit for each change would cost a fast
/// deployment more than its steps.
/// </summary>
internal sealed class StepProgress : IDisposable
{
    private static readonly TimeSpan FirstReport = TimeSpan.FromMilliseconds(100);

    private readonly RunningDeployment _running;
    private readonly RecordProgress _record;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stopReporting = new();
    private readonly Task _reporting;
    private readonly int[] _attemptsBefore;
    private readonly Lock _lock = new();
    // The first report says that the deployment is running.
    private bool _dirty = true;

    public StepProgress(RunningDeployment running, RecordProgress record, TimeSpan interval, TimeProvider time)
    {
        (_running, _record, _time) = (running, record, time);
        _attemptsBefore = [.. running.Steps.Select(step => step.Attempts)];
        _reporting = ReportAsync(interval);
    }

    public async Task<T> RunAsync<T>(string name, Func<CancellationToken, Task<T>> work)
    {
        _running.Stopped.ThrowIfCancellationRequested();
        var step = Begin(name);
        using var activity = PlatformTelemetry.Source.StartActivity($"deployment {name}");
        var result = await Task.Run(() => work(_running.Stopped), _running.Stopped);
        Change(() => step.FinishedAt = _time.GetUtcNow());
        return result;
    }

    /// <summary>Runs the last step, whose work writes the finished steps itself in the transaction that activates the release.</summary>
    public async Task<T> ActivateAsync<T>(Func<IReadOnlyList<StepState>, Task<T>> work)
    {
        _running.Stopped.ThrowIfCancellationRequested();
        var step = Begin("activate");
        await StopReportingAsync();
        _running.Stopped.ThrowIfCancellationRequested();
        using var activity = PlatformTelemetry.Source.StartActivity("deployment activate");
        Change(() => step.FinishedAt = _time.GetUtcNow());
        try
        {
            return await work(_running.Steps);
        }
        catch
        {
            Change(() => step.FinishedAt = null);
            throw;
        }
    }

    /// <summary>The run was interrupted or has to wait: its attempts don't count.</summary>
    public void Abandon(DeploymentError? waitsFor) => Change(() =>
    {
        for (var n = 0; n < _attemptsBefore.Length; n++)
            _running.Steps[n].Attempts = _attemptsBefore[n];
        if (Current is { } step)
            step.Error = waitsFor;
    });

    /// <summary>The current step failed.</summary>
    /// <returns>How often it has failed so far.</returns>
    public int Fail(DeploymentError error)
    {
        var failures = 1;
        Change(() =>
        {
            if (Current is not { } step)
                return;
            step.FinishedAt = _time.GetUtcNow();
            step.Error = error;
            failures = ++step.Failures;
        });
        return failures;
    }

    /// <summary>Stops the background reports, and waits for one that is being written.</summary>
    public async Task StopReportingAsync()
    {
        await _stopReporting.CancelAsync();
        await _reporting;
    }

    public void Dispose() => _stopReporting.Dispose();

    private StepState? Current => _running.Steps.LastOrDefault(step => step is { StartedAt: not null, FinishedAt: null });

    private StepState Begin(string name)
    {
        var step = _running.Steps.Single(step => step.Name == name);
        Change(() => (step.StartedAt, step.FinishedAt, step.Error, step.Attempts) = (_time.GetUtcNow(), null, null, step.Attempts + 1));
        return step;
    }

    private void Change(Action change)
    {
        lock (_lock)
        {
            change();
            _dirty = true;
        }
    }

    private async Task ReportAsync(TimeSpan interval)
    {
        // The first report comes soon, even if the interval is long.
        using var timer = new PeriodicTimer(interval < FirstReport ? interval : FirstReport, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopReporting.Token))
            {
                timer.Period = interval;
                IReadOnlyList<StepState> steps;
                lock (_lock)
                {
                    if (!_dirty)
                        continue;
                    _dirty = false;
                    steps = [.. _running.Steps.Select(step => step.Copy())];
                }

                // Not cancellable: whether this report was committed must be known before anything else is written.
                await _record.ExecuteAsync(_running.Job, steps, CancellationToken.None);
            }
        }
        catch (OperationCanceledException)
        {
            // StopReportingAsync was called.
        }
        catch (LeaseLostException)
        {
            _running.Stop(StopReason.LeaseLost);
        }
        catch (Exception e) when (DatabaseProblems.IsUnavailable(e))
        {
            // Reports are optional. If the database is still unavailable, the run's next write fails and handles it.
        }
    }
}
