using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Logging;
using Resource = Aspire.Hosting.Dashboard.Protocol.Resource;

namespace Aspire.Hosting.Dashboard;

/// <summary>The latest state of each resource, for any number of dashboards. A slow one misses states in between, never the last.</summary>
internal sealed partial class ResourceFeed(ResourceNotificationService notifications, TimeProvider timeProvider, ILogger<ResourceFeed> logger)
{
    private readonly DateTime _createdAt = timeProvider.GetUtcNow().UtcDateTime;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Resource> _latest = new(StringComparer.Ordinal);
    private readonly HashSet<Subscription> _subscriptions = [];

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await foreach (var update in notifications.WatchAsync(cancellationToken))
        {
            try
            {
                Publish(ResourceMessages.ToMessage(update, _createdAt));
            }
            catch (Exception exception)
            {
                // One resource that cannot be shown must not hide the others.
                LogCannotShow(exception, update.ResourceId);
            }
        }
    }

    public Subscription Subscribe()
    {
        lock (_lock)
        {
            var subscription = new Subscription(this);
            _subscriptions.Add(subscription);
            return subscription;
        }
    }

    private void Publish(Resource resource)
    {
        lock (_lock)
        {
            _latest[resource.Name] = resource;
            foreach (var subscription in _subscriptions)
                subscription.MarkChanged(resource.Name);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The state of resource {Resource} cannot be shown in the dashboard.")]
    private partial void LogCannotShow(Exception exception, string resource);

    /// <summary>One dashboard's view.</summary>
    internal sealed class Subscription : IDisposable
    {
        private readonly ResourceFeed _feed;
        private readonly HashSet<string> _changed = new(StringComparer.Ordinal);
        private readonly SemaphoreSlim _signal = new(0, 1);

        public Subscription(ResourceFeed feed)
        {
            _feed = feed;
            Initial = [.. feed._latest.Values];
        }

        public IReadOnlyList<Resource> Initial { get; }

        /// <summary>Waits for changes and gets the latest state of each changed resource.</summary>
        public async Task<IReadOnlyList<Resource>> NextAsync(CancellationToken cancellationToken)
        {
            await _signal.WaitAsync(cancellationToken);
            lock (_feed._lock)
            {
                List<Resource> resources = [.. _changed.Select(name => _feed._latest[name])];
                _changed.Clear();
                return resources;
            }
        }

        public void MarkChanged(string name)
        {
            if (_changed.Add(name) && _changed.Count == 1)
                _signal.Release();
        }

        public void Dispose()
        {
            lock (_feed._lock)
                _feed._subscriptions.Remove(this);
            _signal.Dispose();
        }
    }
}
