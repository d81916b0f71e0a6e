using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace Microsoft.Extensions.ServiceDiscovery;

/// <summary>Resolves each service once, and again when its change token or the refresh period says so.</summary>
internal sealed class ServiceEndpointCache(
    IEnumerable<IServiceEndpointProviderFactory> factories, TimeProvider timeProvider, IOptions<ServiceDiscoveryOptions> options) : IAsyncDisposable, IDisposable
{
    // Clients may call any number of hosts: what was not asked for in this time is forgotten when something new is asked.
    private static readonly TimeSpan IdleTime = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, ServiceEndpointCacheEntry> _entries = new(StringComparer.Ordinal);
    private volatile bool _disposed;

    public async ValueTask<(ServiceEndpointSource Source, ServiceEndpointCacheEntry Entry)> GetAsync(string service, CancellationToken cancellationToken)
    {
        while (true)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (!_entries.TryGetValue(service, out var entry))
            {
                await ForgetIdleAsync();
                entry = _entries.GetOrAdd(service, Create);
            }

            if (await entry.GetAsync(cancellationToken) is { } source)
                return (source, entry);
        }
    }

    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    public async ValueTask DisposeAsync()
    {
        _disposed = true;
        foreach (var (_, entry) in _entries)
            await entry.DisposeAsync();
        _entries.Clear();
    }

    private async Task ForgetIdleAsync()
    {
        foreach (var pair in _entries)
        {
            if (pair.Value.IdleFor() >= IdleTime && _entries.TryRemove(pair))
                await pair.Value.DisposeAsync();
        }
    }

    private ServiceEndpointCacheEntry Create(string service)
    {
        if (!ServiceEndpointQuery.TryParse(service, out var query))
            throw new ArgumentException("The provided input was not in a valid format. It must be a valid URI.", nameof(service));

        var providers = new List<IServiceEndpointProvider>();
        foreach (var factory in factories)
        {
            if (factory.TryCreateProvider(query, out var provider))
                providers.Add(provider);
        }

        return providers.Count == 0
            ? throw new InvalidOperationException($"No provider which supports the provided service name, '{service}', has been configured.")
            : new ServiceEndpointCacheEntry(providers, timeProvider, options.Value.RefreshPeriod);
    }
}

/// <summary>One service.</summary>
internal sealed class ServiceEndpointCacheEntry(List<IServiceEndpointProvider> providers, TimeProvider timeProvider, TimeSpan refreshPeriod)
    : IAsyncDisposable
{
    private readonly SemaphoreSlim _lock = new(1, 1);
    private long _lastUsed = timeProvider.GetTimestamp();
    private volatile Resolved? _resolved;
    private bool _disposed;
    private int _next = -1;

    public TimeSpan IdleFor() => timeProvider.GetElapsedTime(Interlocked.Read(ref _lastUsed));

    /// <summary>Gets the next endpoint in turn.</summary>
    /// <exception cref="InvalidOperationException">There is none.</exception>
    public ServiceEndpoint Next(ServiceEndpointSource source) => source.Endpoints.Count == 0
        ? throw new InvalidOperationException("The endpoint collection contains no endpoints")
        : source.Endpoints[(int)((uint)Interlocked.Increment(ref _next) % (uint)source.Endpoints.Count)];

    /// <summary>Gets the service's endpoints; null when the entry has been forgotten meanwhile.</summary>
    public async ValueTask<ServiceEndpointSource?> GetAsync(CancellationToken cancellationToken)
    {
        Interlocked.Exchange(ref _lastUsed, timeProvider.GetTimestamp());
        if (Current() is { } current)
            return current;

        await _lock.WaitAsync(cancellationToken);
        try
        {
            if (_disposed)
                return null;
            if (Current() is { } resolvedMeanwhile)
                return resolvedMeanwhile;

            var builder = new Builder();
            foreach (var provider in providers)
                await provider.PopulateAsync(builder, cancellationToken);

            var source = builder.Build();
            _resolved = new Resolved(source, timeProvider.GetTimestamp());
            return source;
        }
        finally
        {
            _lock.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _lock.WaitAsync();
        try
        {
            if (_disposed)
                return;

            _disposed = true;
            _resolved = null;
            foreach (var provider in providers)
                await provider.DisposeAsync();
        }
        finally
        {
            _lock.Release();
        }
    }

    private ServiceEndpointSource? Current() =>
        _resolved is { Source.ChangeToken.HasChanged: false } resolved
        && (resolved.Source.ChangeToken.ActiveChangeCallbacks || timeProvider.GetElapsedTime(resolved.At) < refreshPeriod)
            ? resolved.Source
            : null;

    private sealed record Resolved(ServiceEndpointSource Source, long At);

    private sealed class Builder : IServiceEndpointBuilder
    {
        private readonly List<ServiceEndpoint> _endpoints = [];
        private readonly List<IChangeToken> _changeTokens = [];

        public IList<ServiceEndpoint> Endpoints => _endpoints;

        public IFeatureCollection Features { get; } = new FeatureCollection();

        public void AddChangeToken(IChangeToken changeToken) => _changeTokens.Add(changeToken);

        public ServiceEndpointSource Build() => new(_endpoints, new CompositeChangeToken(_changeTokens), Features);
    }
}
