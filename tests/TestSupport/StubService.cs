using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Platform.TestSupport;

/// <summary>A request as a <see cref="StubService"/> received it.</summary>
public sealed record ReceivedRequest(string Method, string Path, string Query, IReadOnlyDictionary<string, string> Headers, byte[] Body)
{
    /// <summary>The body as text.</summary>
    public string Text => System.Text.Encoding.UTF8.GetString(Body);
}

/// <summary>A real HTTP server that stands in for another service. It can be stopped and started again on the same port.</summary>
public sealed class StubService : IAsyncDisposable
{
    private readonly Action<WebApplication> _configure;
    private readonly ConcurrentQueue<ReceivedRequest> _requests = new();
    private WebApplication? _app;

    private StubService(Action<WebApplication> configure, int port) => (_configure, Port) = (configure, port);

    /// <summary>The port, the same over restarts.</summary>
    public int Port { get; }

    /// <summary>The base address.</summary>
    public Uri Address => new($"http://127.0.0.1:{Port}");

    /// <summary>All requests so far, in the order of their arrival.</summary>
    public IReadOnlyList<ReceivedRequest> Requests => [.. _requests];

    /// <summary>Starts a server with the endpoints that <paramref name="configure"/> maps.</summary>
    public static async Task<StubService> StartAsync(Action<WebApplication> configure, int? port = null)
    {
        var service = new StubService(configure, port ?? FreePort.Next());
        await service.StartAgainAsync();
        return service;
    }

    /// <summary>Starts it after a <see cref="StopAsync"/>.</summary>
    public async Task StartAgainAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddRouting();
        builder.WebHost.UseKestrel(options => options.Listen(System.Net.IPAddress.Loopback, Port));
        _app = builder.Build();
        _app.Use(RecordAsync);
        _configure(_app);
        await _app.StartAsync();
    }

    /// <summary>Stops it at once: connections are cut off and the port refuses new ones.</summary>
    public async Task StopAsync()
    {
        if (_app is { } app)
        {
            _app = null;
            using var now = new CancellationTokenSource();
            await now.CancelAsync();
            await app.StopAsync(now.Token);
            await app.DisposeAsync();
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync() => await StopAsync();

    private async Task RecordAsync(HttpContext context, RequestDelegate next)
    {
        context.Request.EnableBuffering();
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        context.Request.Body.Position = 0;
        _requests.Enqueue(new(
            context.Request.Method,
            context.Request.Path,
            context.Request.QueryString.Value ?? "",
            context.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase),
            body.ToArray()));
        await next(context);
    }
}
