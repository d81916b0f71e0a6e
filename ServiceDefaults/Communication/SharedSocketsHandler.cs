using System.Net;

namespace Platform.ServiceDefaults.Communication;

/// <summary>The process's only connection pool. The client factory recreates its handlers above it.</summary>
internal sealed class SharedSocketsHandler : IDisposable
{
    private readonly SocketsHttpHandler _sockets = new()
    {
        // A redirect would send token and body to a host that nobody configured.
        AllowAutoRedirect = false,
        UseCookies = false,
        AutomaticDecompression = DecompressionMethods.All,
        ConnectTimeout = TimeSpan.FromSeconds(1),
        // To notice DNS changes.
        PooledConnectionLifetime = TimeSpan.FromMinutes(2),
        PooledConnectionIdleTimeout = TimeSpan.FromMinutes(1),
        EnableMultipleHttp2Connections = true,
    };

    /// <summary>A handler for one client. Disposing it does not affect the pool.</summary>
    public HttpMessageHandler ForClient() => new Shared(_sockets);

    public void Dispose() => _sockets.Dispose();

    private sealed class Shared(HttpMessageHandler pool) : HttpMessageHandler
    {
        private readonly HttpMessageInvoker _pool = new(pool, disposeHandler: false);

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            _pool.SendAsync(request, cancellationToken);

        protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken) => _pool.Send(request, cancellationToken);
    }
}
