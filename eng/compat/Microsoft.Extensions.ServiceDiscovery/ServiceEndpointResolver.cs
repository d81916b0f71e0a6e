namespace Microsoft.Extensions.ServiceDiscovery;

/// <summary>Resolves services to their endpoints.</summary>
public sealed class ServiceEndpointResolver : IAsyncDisposable
{
    private readonly ServiceEndpointCache _cache;
    private bool _disposed;

    internal ServiceEndpointResolver(ServiceEndpointCache cache) => _cache = cache;

    /// <summary>Gets the endpoints of <c>[schemes://][_endpoint.]service</c>.</summary>
    /// <exception cref="ArgumentException">The name cannot be read.</exception>
    /// <exception cref="KeyNotFoundException">The service's configuration is wrong.</exception>
    public async ValueTask<ServiceEndpointSource> GetEndpointsAsync(string serviceName, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(serviceName);
        ObjectDisposedException.ThrowIf(_disposed, this);
        cancellationToken.ThrowIfCancellationRequested();
        return (await _cache.GetAsync(serviceName, cancellationToken)).Source;
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _disposed = true;
        return ValueTask.CompletedTask;
    }
}
