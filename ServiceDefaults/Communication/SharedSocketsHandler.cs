using System.Net;

namespace Platform.ServiceDefaults.Communication;

/// <summary>The one connection pool of the process. Handlers of the client factory come and go above it.</summary>
internal sealed class SharedSocketsHandler : IDisposable
{
    private readonly SocketsHttpHandler _sockets = new()
    {
        // a redirect would carry the token and the body to a host that nobody configured
        AllowAutoRedirect = false,
        UseCookies = false,
        AutomaticDecompression = DecompressionMethods.All,
        ConnectTimeout = TimeSpan.FromSeconds(1),
        // so that a changed DNS entry is noticed
        PooledConnectionLifetime = TimeSpan.FromMinutes(2),
        PooledConnectionIdleTimeout = TimeSpan.FromMinutes(1),
        EnableMultipleHttp2Connections = true,
    };

    /// <summary>A handler for one client; disposing it leaves the pool as it is.</summary>
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
