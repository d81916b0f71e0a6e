using System.Collections.Concurrent;
using System.Collections.Immutable;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Eventing;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dcp;

/// <summary>Asks the health checks of every resource that runs, and says once per start that it is ready.</summary>
internal sealed class ResourceHealth(
    ResourceNotificationService notifications, ResourceLoggerService loggers, HealthCheckService checks, IDistributedApplicationEventing eventing, IServiceProvider services, ILogger<ResourceHealth> logger)
{
    private static readonly TimeSpan FirstInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan UnhealthyInterval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan HealthyInterval = TimeSpan.FromSeconds(5);
    private readonly ConcurrentDictionary<string, CancellationTokenSource> _running = new(StringComparer.OrdinalIgnoreCase);

    public void Start(CancellationToken stopping) => _ = WatchAsync(stopping);

    private async Task WatchAsync(CancellationToken stopping)
    {
        try
        {
            await foreach (var change in notifications.WatchAsync(stopping).ConfigureAwait(false))
            {
                if (change.Snapshot.State?.Text == KnownResourceStates.Running)
                {
                    var started = CancellationTokenSource.CreateLinkedTokenSource(stopping);
                    if (_running.TryAdd(change.ResourceId, started))
                        _ = MonitorAsync(change.Resource, change.ResourceId, started.Token);
                    else
                        started.Dispose();
                }
                else if (_running.TryRemove(change.ResourceId, out var ended))
                {
                    await ended.CancelAsync().ConfigureAwait(false);
                    ended.Dispose();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // the application stops
        }
    }

    private async Task MonitorAsync(IResource resource, string instance, CancellationToken cancellationToken)
    {
        try
        {
            var keys = resource.Annotations.OfType<HealthCheckAnnotation>().Select(h => h.Key).ToHashSet(StringComparer.Ordinal);
            if (keys.Count == 0)
            {
                await BecomeReadyAsync(resource, instance, cancellationToken).ConfigureAwait(false);
                return;
            }

            var ready = false;
            var interval = FirstInterval;
            while (true)
            {
                var report = await checks.CheckHealthAsync(r => keys.Contains(r.Name), cancellationToken).ConfigureAwait(false);
                await ReportAsync(resource, instance, keys, report, cancellationToken).ConfigureAwait(false);
                // a key that nobody registered is never healthy
                var healthy = report.Status == HealthStatus.Healthy && keys.All(report.Entries.ContainsKey);
                if (healthy && !ready)
                {
                    ready = true;
                    await BecomeReadyAsync(resource, instance, cancellationToken).ConfigureAwait(false);
                }

                await Task.Delay(healthy ? HealthyInterval : interval, cancellationToken).ConfigureAwait(false);
                interval = healthy ? FirstInterval : TimeSpan.FromTicks(Math.Min(UnhealthyInterval.Ticks, (long)(interval.Ticks * 1.3)));
            }
        }
        catch (OperationCanceledException)
        {
            // it does not run any more
        }
    }

    private Task ReportAsync(IResource resource, string instance, IReadOnlySet<string> keys, HealthReport report, CancellationToken cancellationToken)
    {
        var now = DateTime.UtcNow;
        ImmutableArray<HealthReportSnapshot> reports =
        [
            .. keys.Select(key => report.Entries.TryGetValue(key, out var entry)
                ? new HealthReportSnapshot(key, entry.Status, entry.Description, entry.Exception?.ToString()) { LastRunAt = now }
                : new HealthReportSnapshot(key, HealthStatus.Unhealthy, "No health check of that name is registered.", null) { LastRunAt = now }),
        ];
        return cancellationToken.IsCancellationRequested
            ? Task.CompletedTask
            : notifications.PublishUpdateAsync(resource, instance, s => s.State?.Text == KnownResourceStates.Running ? s with { HealthReports = reports } : s);
    }

    private async Task BecomeReadyAsync(IResource resource, string instance, CancellationToken cancellationToken)
    {
        var handlers = Task.Run(() => eventing.PublishAsync(new ResourceReadyEvent(resource, services), cancellationToken), cancellationToken);
        await notifications.PublishUpdateAsync(resource, instance, s => s.State?.Text == KnownResourceStates.Running ? s with { Ready = handlers } : s).ConfigureAwait(false);
        try
        {
            await handlers.ConfigureAwait(false);
        }
#pragma warning disable CA1031 // who waits for the resource gets it too
        catch (Exception e) when (e is not OperationCanceledException)
#pragma warning restore CA1031
        {
            loggers.GetLogger(instance).LogError(e, "A handler of the ready event failed.");
            logger.LogError(e, "A handler of the ready event of '{Name}' failed.", resource.Name);
        }
    }
}
