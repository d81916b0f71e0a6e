using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>What state the resources are in: published here, watched here, waited for here.</summary>
public class ResourceNotificationService : IDisposable
{
    private readonly ConcurrentDictionary<string, Instance> _instances = new(StringComparer.OrdinalIgnoreCase);
    private readonly Lock _watchersLock = new();
    private readonly List<Channel<ResourceEvent>> _watchers = [];
    private readonly CancellationTokenSource _disposing = new();
    private readonly IServiceProvider _services;
    private readonly ResourceLoggerService _loggers;

    public ResourceNotificationService(
        ILogger<ResourceNotificationService> logger, IHostApplicationLifetime hostApplicationLifetime, IServiceProvider serviceProvider, ResourceLoggerService resourceLoggerService)
    {
        ArgumentNullException.ThrowIfNull(logger);
        ArgumentNullException.ThrowIfNull(hostApplicationLifetime);
        _services = serviceProvider;
        _loggers = resourceLoggerService;
    }

    // with a dashboard, somebody can see that a dependency failed and start it again
    internal WaitBehavior DefaultWaitBehavior =>
        _services.GetService<DistributedApplicationOptions>()?.DisableDashboard == false ? WaitBehavior.WaitOnResourceUnavailable : WaitBehavior.StopOnResourceUnavailable;

    public Task WaitForResourceAsync(string resourceName, string? targetState = null, CancellationToken cancellationToken = default) =>
        WaitForResourceAsync(resourceName, [string.IsNullOrEmpty(targetState) ? KnownResourceStates.Running : targetState], cancellationToken);

    public async Task<string> WaitForResourceAsync(string resourceName, IEnumerable<string> targetStates, CancellationToken cancellationToken = default)
    {
        var states = targetStates.ToHashSet(StringComparer.OrdinalIgnoreCase);
        var found = await WaitAsync(
            resourceName,
            e => e.Snapshot.State is { } state && states.Contains(state.Text),
            $"Resource '{resourceName}' did not reach any of the states {string.Join(", ", states)} in time",
            cancellationToken).ConfigureAwait(false);
        return found.Snapshot.State!.Text;
    }

    public Task<ResourceEvent> WaitForResourceAsync(string resourceName, Func<ResourceEvent, bool> predicate, CancellationToken cancellationToken = default) =>
        WaitAsync(resourceName, predicate, $"Resource '{resourceName}' did not come into the awaited condition in time", cancellationToken);

    public Task<ResourceEvent> WaitForResourceHealthyAsync(string resourceName, CancellationToken cancellationToken = default) =>
        WaitForResourceHealthyAsync(resourceName, DefaultWaitBehavior, cancellationToken);

    /// <summary>Waits until the resource runs, its health checks say healthy, and the handlers of its ready event have ended.</summary>
    /// <exception cref="DistributedApplicationException">It ended or failed to start, and <paramref name="waitBehavior"/> is to stop then.</exception>
    public async Task<ResourceEvent> WaitForResourceHealthyAsync(string resourceName, WaitBehavior waitBehavior, CancellationToken cancellationToken = default)
    {
        var found = await WaitAsync(
            resourceName,
            e => IsReady(e.Snapshot) || (waitBehavior == WaitBehavior.StopOnResourceUnavailable && IsUnavailable(e.Snapshot)),
            $"Resource '{resourceName}' did not become healthy in time",
            cancellationToken).ConfigureAwait(false);
        if (IsUnavailable(found.Snapshot))
            throw new DistributedApplicationException($"Stopped waiting for resource '{resourceName}' to become healthy because {Reason(found.Snapshot)}.");
        await found.Snapshot.Ready!.WaitAsync(cancellationToken).ConfigureAwait(false);
        return found;
    }

    /// <summary>Waits for everything that the resource's <see cref="WaitAnnotation"/>s name; the resource shows as Waiting meanwhile.</summary>
    /// <exception cref="DistributedApplicationException">A dependency ended, failed to start, or completed with another exit code than the expected one.</exception>
    public async Task WaitForDependenciesAsync(IResource resource, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(resource);
        var waits = resource.Annotations.OfType<WaitAnnotation>().Where(w => w.Resource is not IResourceWithoutLifetime).ToList();
        if (waits.Count == 0)
            return;
        await PublishUpdateAsync(resource, s => s with { State = KnownResourceStates.Waiting }).ConfigureAwait(false);
        await Task.WhenAll(waits.Select(w => WaitForDependencyAsync(resource, w, cancellationToken))).ConfigureAwait(false);
    }

    public bool TryGetCurrentState(string resourceId, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ResourceEvent? resourceEvent)
    {
        resourceEvent = _instances.TryGetValue(resourceId, out var instance) ? instance.Last : null;
        return resourceEvent is not null;
    }

    /// <summary>The current state of every instance, then each change.</summary>
    public async IAsyncEnumerable<ResourceEvent> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _disposing.Token);
        var channel = Channel.CreateUnbounded<ResourceEvent>(new UnboundedChannelOptions { SingleReader = true });
        lock (_watchersLock)
        {
            foreach (var current in _instances.Values.Select(i => i.Last).OfType<ResourceEvent>())
                channel.Writer.TryWrite(current);
            _watchers.Add(channel);
        }

        try
        {
            await foreach (var change in channel.Reader.ReadAllAsync(either.Token).ConfigureAwait(false))
                yield return change;
        }
        finally
        {
            lock (_watchersLock)
                _watchers.Remove(channel);
        }
    }

    public Task PublishUpdateAsync(IResource resource, Func<CustomResourceSnapshot, CustomResourceSnapshot> stateFactory)
    {
        ArgumentNullException.ThrowIfNull(resource);
        return Task.WhenAll(resource.GetInstanceNames().Select(name => PublishUpdateAsync(resource, name, stateFactory)));
    }

    public Task PublishUpdateAsync(IResource resource, string resourceId, Func<CustomResourceSnapshot, CustomResourceSnapshot> stateFactory)
    {
        ArgumentNullException.ThrowIfNull(resource);
        ArgumentNullException.ThrowIfNull(resourceId);
        ArgumentNullException.ThrowIfNull(stateFactory);
        var instance = _instances.GetOrAdd(resourceId, _ => new Instance());
        lock (instance)
        {
            var previous = instance.Last?.Snapshot ?? resource.InitialSnapshot();
            var next = stateFactory(previous);
            if (next.State?.Text != KnownResourceStates.Running)
                next = next with { HealthReports = [.. next.HealthReports.Select(r => r with { Status = null, LastRunAt = null, Description = null, ExceptionText = null })] };
            // who starts anew becomes ready anew
            if (previous.State?.Text == KnownResourceStates.Running && next.State?.Text != KnownResourceStates.Running)
                next = next with { Ready = null };
            if (next.HealthReports.IsEmpty)
            {
                next = next with
                {
                    HealthReports = [.. resource.Annotations.OfType<HealthCheckAnnotation>().Select(h => h.Key).Distinct().Select(k => new HealthReportSnapshot(k, null, null, null))],
                };
            }

            next = next with { Commands = CommandsOf(resource, next), Version = previous.Version + 1 };
            var change = new ResourceEvent(resource, resourceId, next);
            lock (_watchersLock)
            {
                instance.Last = change;
                foreach (var watcher in _watchers)
                    watcher.Writer.TryWrite(change);
            }
        }

        return Task.CompletedTask;
    }

    public void Dispose()
    {
        _disposing.Cancel();
        GC.SuppressFinalize(this);
    }

    private static bool IsReady(CustomResourceSnapshot snapshot) =>
        snapshot.State?.Text == KnownResourceStates.Running && snapshot.HealthStatus == HealthStatus.Healthy && snapshot.Ready is not null;

    private static bool IsUnavailable(CustomResourceSnapshot snapshot) =>
        snapshot.State?.Text is { } state && (KnownResourceStates.TerminalStates.Contains(state) || state == KnownResourceStates.RuntimeUnhealthy);

    private static string Reason(CustomResourceSnapshot snapshot) =>
        snapshot.State!.Text == KnownResourceStates.FailedToStart ? "it failed to start" : $"it is in the state '{snapshot.State.Text}'{(snapshot.ExitCode is { } code ? $" with exit code {code}" : "")}";

    private async Task WaitForDependencyAsync(IResource resource, WaitAnnotation wait, CancellationToken cancellationToken)
    {
        var name = wait.Resource.Name;
        var log = _loggers.GetLogger(resource);
        var stop = (wait.WaitBehavior ?? DefaultWaitBehavior) == WaitBehavior.StopOnResourceUnavailable;
        if (wait.WaitType == WaitType.WaitForCompletion)
        {
            log.LogInformation("Waiting for resource '{Name}' to complete.", name);
            var ended = await WaitAsync(name, e => IsUnavailable(e.Snapshot), $"Resource '{name}' did not complete in time", cancellationToken).ConfigureAwait(false);
            if (ended.Snapshot.State!.Text == KnownResourceStates.FailedToStart)
                throw Unavailable($"Dependency resource '{name}' failed to start.");
            if (ended.Snapshot.ExitCode is { } code && code != wait.ExitCode)
                throw Unavailable($"Resource '{name}' has entered the '{ended.Snapshot.State.Text}' state with exit code '{code}', expected '{wait.ExitCode}'.");
        }
        else
        {
            var started = wait.WaitType == WaitType.WaitUntilStarted;
            log.LogInformation("Waiting for resource '{Name}' to {Goal}.", name, started ? "start" : "become healthy");
            foreach (var instance in wait.Resource.GetInstanceNames())
            {
                var found = await WaitAsync(
                    instance,
                    e => (started ? e.Snapshot.State?.Text == KnownResourceStates.Running : IsReady(e.Snapshot)) || (stop && IsUnavailable(e.Snapshot)),
                    $"Resource '{name}' did not become available in time",
                    cancellationToken).ConfigureAwait(false);
                if (stop && IsUnavailable(found.Snapshot))
                    throw Unavailable($"Dependency resource '{name}' cannot be waited for because {Reason(found.Snapshot)}.");
                if (!started)
                    await found.Snapshot.Ready!.WaitAsync(cancellationToken).ConfigureAwait(false);
            }
        }

        log.LogInformation("Finished waiting for resource '{Name}'.", name);

        DistributedApplicationException Unavailable(string message)
        {
            log.LogError("{Message}", message);
            return new DistributedApplicationException(message);
        }
    }

    /// <param name="nameOrInstance">A resource, any instance of which will do, or one instance.</param>
    private async Task<ResourceEvent> WaitAsync(string nameOrInstance, Func<ResourceEvent, bool> predicate, string onTimeout, CancellationToken cancellationToken)
    {
        ResourceEvent? last = null;
        try
        {
            await foreach (var change in WatchAsync(cancellationToken).ConfigureAwait(false))
            {
                if (!string.Equals(change.Resource.Name, nameOrInstance, StringComparison.OrdinalIgnoreCase)
                    && !string.Equals(change.ResourceId, nameOrInstance, StringComparison.OrdinalIgnoreCase))
                {
                    continue;
                }

                last = change;
                if (predicate(change))
                    return change;
            }
        }
        catch (OperationCanceledException e)
        {
            var state = last is null ? "it is unknown" : $"its last state is '{last.Snapshot.State?.Text ?? "none"}'{Health(last.Snapshot)}";
            throw new OperationCanceledException($"{onTimeout}: {state}.", e, cancellationToken);
        }

        throw new OperationCanceledException($"{onTimeout}: the application is stopping.");

        static string Health(CustomResourceSnapshot snapshot) => snapshot.HealthStatus is null or HealthStatus.Healthy
            ? ""
            : string.Concat(snapshot.HealthReports.Where(r => r.Status != HealthStatus.Healthy).Select(r => $", health check '{r.Name}' is {r.Status?.ToString() ?? "not done"} {r.Description}"));
    }

    private ImmutableArray<ResourceCommandSnapshot> CommandsOf(IResource resource, CustomResourceSnapshot snapshot)
    {
        var context = new UpdateCommandStateContext { ResourceSnapshot = snapshot, Services = _services };
        return
        [
            .. resource.Annotations.OfType<ResourceCommandAnnotation>().Select(c => new ResourceCommandSnapshot(
                c.Name, c.UpdateState(context), c.DisplayName, c.DisplayDescription, c.ConfirmationMessage, c.IconName, c.IconVariant == IconVariant.Filled, c.IsHighlighted)),
        ];
    }

    private sealed class Instance
    {
        public ResourceEvent? Last { get; set; }
    }
}
