using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Platform.ResilienceTesting;

/// <summary>
/// A proxy for a TCP server on a port of 127.0.0.1, which applies the faults of <see cref="Faults"/>. It starts to listen in its constructor; disposing it closes all
/// connections.
/// </summary>
public sealed class TcpFaultProxy : IAsyncDisposable, IDisposable
{
    private readonly Func<CancellationToken, ValueTask<EndPoint>> _target;
    private readonly Lock _lock = new();
    private readonly ConcurrentDictionary<ProxiedConnection, Task> _connections = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly Socket _holder;
    private Socket? _listener;
    private Task _accepting = Task.CompletedTask;
    private bool _disposed;
    private long _connectionCount;
    private long _faultsApplied;
    private long _bytesToTarget;
    private long _bytesToClient;
    private long _bytesSwallowed;
    private EndPoint? _lastTarget;
    private string? _lastError;

    /// <summary>Starts to listen.</summary>
    /// <param name="target">The target's address; called for each connection, so that the target may start later or move.</param>
    /// <param name="faults">The faults to apply; may be shared by several proxies. A new injector by default.</param>
    public TcpFaultProxy(Func<CancellationToken, ValueTask<EndPoint>> target, FaultInjector? faults = null)
    {
        ArgumentNullException.ThrowIfNull(target);
        _target = target;
        Faults = faults ?? new FaultInjector();

        // Keeps the port bound without listening, so that connections can be refused without another program taking the port.
        _holder = Bind(0);
        Port = ((IPEndPoint)_holder.LocalEndPoint!).Port;
        Faults.Attach(this);
        UpdateListening();
    }

    /// <summary>Starts to listen.</summary>
    /// <param name="target">The target's address.</param>
    /// <param name="faults">The faults to apply; a new injector by default.</param>
    public TcpFaultProxy(EndPoint target, FaultInjector? faults = null)
        : this(_ => ValueTask.FromResult(target), faults)
    {
    }

    /// <summary>The faults applied to the connections.</summary>
    public FaultInjector Faults { get; }

    /// <summary>The port on 127.0.0.1, which never changes.</summary>
    public int Port { get; }

    /// <summary>The address that clients connect to.</summary>
    public IPEndPoint EndPoint => new(IPAddress.Loopback, Port);

    /// <summary>Connections accepted so far.</summary>
    public long Connections => Interlocked.Read(ref _connectionCount);

    /// <summary>Connections that are open now.</summary>
    public int OpenConnections => _connections.Count;

    /// <summary>How often a fault has affected a connection, counted once per fault and connection.</summary>
    public long FaultsApplied => Interlocked.Read(ref _faultsApplied);

    /// <summary>Bytes forwarded to the target so far.</summary>
    public long BytesToTarget => Interlocked.Read(ref _bytesToTarget);

    /// <summary>Bytes forwarded to clients so far.</summary>
    public long BytesToClient => Interlocked.Read(ref _bytesToClient);

    /// <summary>Bytes discarded by black holes so far, in both directions.</summary>
    public long BytesSwallowed => Interlocked.Read(ref _bytesSwallowed);

    /// <summary>The addresses and counters, for example <c>127.0.0.1:41001 → localhost:9001: 3 connections, …</c>.</summary>
    public override string ToString() =>
        $"{EndPoint} → {Text(_lastTarget)}: {Connections} connections, {BytesToTarget} B there, {BytesToClient} B back, faults struck {FaultsApplied} times"
        + (_lastError is { } error ? $", target not reached: {error}" : "");

    /// <inheritdoc />
    public void Dispose() => End();

    /// <summary>Closes all connections and waits until that is done.</summary>
    public async ValueTask DisposeAsync()
    {
        End();
        await _accepting;
        await Task.WhenAll(_connections.Values);
    }

    /// <summary>Connects to the target; null if that fails. The description then contains the error.</summary>
    internal async ValueTask<Socket?> ConnectAsync(CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            var target = await _target(cancellationToken);
            _lastTarget = target;
            await socket.ConnectAsync(target, cancellationToken);
            _lastError = null;
            return socket;
        }
#pragma warning disable CA1031 // the callback for the target's address may throw anything, which is treated as an unreachable target
        catch (Exception exception)
#pragma warning restore CA1031
        {
            socket.Dispose();
            if (!cancellationToken.IsCancellationRequested)
                _lastError = exception.Message;
            return null;
        }
    }

    internal void CountBytes(bool toTarget, int count) => Interlocked.Add(ref toTarget ? ref _bytesToTarget : ref _bytesToClient, count);

    internal void CountSwallowed(int count) => Interlocked.Add(ref _bytesSwallowed, count);

    internal void CountStrike() => Interlocked.Increment(ref _faultsApplied);

    /// <summary>A fault began, or a flapping fault changed between up and down.</summary>
    internal void FaultChanged(ActiveFault fault)
    {
        UpdateListening();
        foreach (var connection in _connections.Keys)
        {
            if (fault.Refuses || fault.Fault is ResetFault or HalfCloseFault)
                connection.FaultBegan(fault);
        }
    }

    internal void FaultEnded(ActiveFault fault)
    {
        UpdateListening();
        foreach (var connection in _connections.Keys)
            connection.FaultEnded(fault);
    }

    private static Socket Bind(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static string Text(EndPoint? target) => target switch
    {
        null => "(not connected yet)",
        DnsEndPoint name => $"{name.Host}:{name.Port}",
        _ => target.ToString() ?? "",
    };

    private void UpdateListening()
    {
        lock (_lock)
        {
            var listen = !_disposed && !Faults.Refuses;
            if (listen == _listener is not null)
                return;
            if (!listen)
            {
                _listener!.Dispose();
                _listener = null;
                return;
            }

            var listener = _listener = Bind(Port);
            listener.Listen();
            var before = _accepting;
            _accepting = Task.Run(async () =>
            {
                await AcceptAsync(listener);
                await before;
            });
        }
    }

    private async Task AcceptAsync(Socket listener)
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await listener.AcceptAsync();
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                if (IsListening(listener))
                    continue;
                return;
            }

            Interlocked.Increment(ref _connectionCount);
            var connection = new ProxiedConnection(this, client, Faults.NextConnection());
            var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _connections[connection] = done.Task;
            // Checked after the connection was added to the list: a fault that begins concurrently either finds it there or is noticed here.
            if (!IsListening(listener))
                connection.Abort();
            _ = RunAsync(connection, done);
        }
    }

    private bool IsListening(Socket listener)
    {
        lock (_lock)
            return ReferenceEquals(_listener, listener);
    }

    private async Task RunAsync(ProxiedConnection connection, TaskCompletionSource done)
    {
        try
        {
            await connection.RunAsync(_stopping.Token);
        }
        finally
        {
            _connections.TryRemove(connection, out _);
            connection.Dispose();
            done.SetResult();
        }
    }

    private void End()
    {
        lock (_lock)
        {
            if (_disposed)
                return;
            _disposed = true;
        }

        Faults.Detach(this);
        UpdateListening();
        _holder.Dispose();
        _stopping.Cancel();
        foreach (var connection in _connections.Keys)
            connection.Abort();
    }
}
