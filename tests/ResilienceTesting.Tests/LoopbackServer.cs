using System.Net;
using System.Net.Sockets;

namespace Platform.ResilienceTesting.Tests;

/// <summary>A TCP server whose connections the test handles, with a proxy in front of it.</summary>
internal sealed class LoopbackServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly List<Socket> _sockets = [];

    public LoopbackServer(FaultInjector? faults = null)
    {
        _listener.Start();
        Proxy = new TcpFaultProxy(_listener.LocalEndpoint, faults);
    }

    public TcpFaultProxy Proxy { get; }

    public async Task<Socket> ConnectAsync()
    {
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _sockets.Add(client);
        await client.ConnectAsync(Proxy.EndPoint, TestContext.Current.CancellationToken);
        return client;
    }

    public async Task<Socket> AcceptAsync()
    {
        var socket = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
        socket.NoDelay = true;
        _sockets.Add(socket);
        return socket;
    }

    /// <summary>Both ends of a connection through the proxy. They have exchanged a byte each way, so the connection is established.</summary>
    public async Task<(Socket Client, Socket Server)> PairAsync()
    {
        var client = await ConnectAsync();
        var server = await AcceptAsync();
        await client.SendTextAsync("?");
        (await server.ReceiveTextAsync(1)).ShouldBe("?");
        await server.SendTextAsync("!");
        (await client.ReceiveTextAsync(1)).ShouldBe("!");
        return (client, server);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var socket in _sockets)
            socket.Dispose();
        await Proxy.DisposeAsync();
        _listener.Dispose();
    }
}

internal static class SocketExtensions
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static async Task SendTextAsync(this Socket socket, string text) =>
        await socket.SendAsync(System.Text.Encoding.ASCII.GetBytes(text), Cancel);

    /// <summary>Exactly that many characters, or fewer if the stream ends before.</summary>
    public static async Task<string> ReceiveTextAsync(this Socket socket, int length)
    {
        var buffer = new byte[length];
        var received = 0;
        while (received < length)
        {
            var count = await socket.ReceiveAsync(buffer.AsMemory(received), Cancel);
            if (count == 0)
                break;
            received += count;
        }

        return System.Text.Encoding.ASCII.GetString(buffer, 0, received);
    }

    public static async Task ShouldEndAsync(this Socket socket) => (await socket.ReceiveTextAsync(1)).ShouldBe("");

    public static async Task ShouldBeResetAsync(this Socket socket)
    {
        var error = await Should.ThrowAsync<SocketException>(() => socket.ReceiveTextAsync(int.MaxValue / 1024));
        error.SocketErrorCode.ShouldBe(SocketError.ConnectionReset);
    }
}
