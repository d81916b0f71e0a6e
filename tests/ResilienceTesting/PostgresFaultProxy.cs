using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Platform.ResilienceTesting;

/// <summary>
/// A proxy for a PostgreSQL server on a port of 127.0.0.1. It understands enough of the protocol to recognise commits, and holds the one that a
/// <see cref="CommitTrap"/> selects. It declines encryption on behalf of the server.
/// </summary>
public sealed class PostgresFaultProxy : IAsyncDisposable
{
    private readonly Func<IPEndPoint> _target;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<PostgresConnection, Task> _connections = new();
    private readonly Task _accepting;
    private ImmutableArray<CommitTrap> _traps = [];

    /// <summary>Starts to listen.</summary>
    /// <param name="target">The server's address; called for each connection.</param>
    public PostgresFaultProxy(Func<IPEndPoint> target)
    {
        ArgumentNullException.ThrowIfNull(target);
        _target = target;
        _listener.Start();
        Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        _accepting = AcceptAsync();
    }

    /// <summary>The port on 127.0.0.1.</summary>
    public int Port { get; }

    /// <summary>Connections that are open now.</summary>
    public int OpenConnections => _connections.Count;

    /// <summary>Arms a trap on all current and future connections. One trap may be armed on several proxies.</summary>
    public void Arm(CommitTrap trap)
    {
        ArgumentNullException.ThrowIfNull(trap);
        ImmutableInterlocked.Update(ref _traps, traps => traps.Add(trap));
        // Removed once it has fired or was disarmed, so that the list doesn't grow.
        _ = trap.Held.ContinueWith(
            _ => ImmutableInterlocked.Update(ref _traps, traps => traps.Remove(trap)),
            CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Resets all connections.</summary>
    public void Reset()
    {
        foreach (var connection in _connections.Keys)
            connection.Abort();
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        await _accepting;
        Reset();
        await Task.WhenAll(_connections.Values);
    }

    /// <summary>The trap that holds this commit, if any.</summary>
    internal CommitTrap? TrapFor(IReadOnlyList<string> statements)
    {
        var traps = _traps;
        return traps.IsEmpty ? null : traps.FirstOrDefault(trap => trap.Takes(statements));
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptSocketAsync();
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException or InvalidOperationException)
            {
                return;
            }

            var connection = new PostgresConnection(this, client, _target());
            var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _connections[connection] = done.Task;
            _ = Task.Run(async () =>
            {
                using (connection)
                    await connection.RunAsync();
                _connections.TryRemove(connection, out var _);
                done.SetResult();
            });
        }
    }
}

/// <summary>A client's connection and the corresponding connection to the server.</summary>
internal sealed class PostgresConnection(PostgresFaultProxy proxy, Socket client, IPEndPoint target) : IDisposable
{
    private const int SslRequest = 80877103;
    private const int GssRequest = 80877104;
    private const int HeaderSize = 5;
    private const int MaxStatements = 100;

    private readonly Socket _server = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly List<string> _statements = [];
    private readonly Dictionary<string, string> _prepared = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _inTransaction;
    private bool _committed;
    private volatile CommitTrap? _trapped;
    private int _aborted;

    public async Task RunAsync()
    {
        try
        {
            client.NoDelay = true;
            await _server.ConnectAsync(target);
            await Task.WhenAll(PumpRequestsAsync(), PumpRepliesAsync());
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // One side closed the connection; Abort closes the other.
        }
        finally
        {
            Abort();
        }
    }

    public void Dispose() => Abort();

    public void Abort()
    {
        if (Interlocked.Exchange(ref _aborted, 1) != 0)
            return;
        _closed.TrySetResult();
        foreach (var socket in (Socket[])[client, _server])
        {
            try
            {
                socket.LingerState = new LingerOption(enable: true, seconds: 0);
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                // Already closed.
            }

            socket.Dispose();
        }
    }

    private async Task PumpRequestsAsync()
    {
        try
        {
            var buffer = new byte[16 * 1024];
            var end = 0;
            // Start of the current batch: the messages up to the next Sync or simple query, which the server executes together.
            var batch = 0;
            var starting = true;
            while (true)
            {
                if (end == buffer.Length)
                    Array.Resize(ref buffer, buffer.Length * 2);
                var read = await client.ReceiveAsync(buffer.AsMemory(end));
                if (read == 0)
                    return;
                end += read;
                var sent = 0;
                var at = 0;
                while (Next(buffer.AsSpan(at, end - at), starting) is { } length)
                {
                    var message = buffer.AsMemory(at, length);
                    if (starting)
                    {
                        if (BinaryPrimitives.ReadInt32BigEndian(message.Span[4..]) is SslRequest or GssRequest)
                        {
                            await SendAsync(client, "N"u8.ToArray());
                            sent = batch = at += length;
                            continue;
                        }

                        starting = false;
                    }
                    else if (IsCommit(message.Span) && proxy.TrapFor(_statements) is { } trap)
                    {
                        var held = Math.Max(sent, batch);
                        await SendAsync(_server, buffer.AsMemory(sent, held - sent));
                        sent = held;
                        if (trap.Moment == CommitMoment.BeforeItsReply)
                            _trapped = trap;
                        else if (!await HoldAsync(trap))
                            return;
                    }

                    at += length;
                    if (message.Span[0] is (byte)'Q' or (byte)'S')
                        batch = at;
                }

                await SendAsync(_server, buffer.AsMemory(sent, at - sent));
                buffer.AsSpan(at, end - at).CopyTo(buffer);
                end -= at;
                batch = Math.Max(batch - at, 0);
            }
        }
        finally
        {
            Abort();
        }
    }

    private async Task PumpRepliesAsync()
    {
        try
        {
            var buffer = new byte[16 * 1024];
            var kept = new MemoryStream();
            // The part of the current message's header received so far, and the number of bytes of its body still to come.
            var header = new byte[HeaderSize];
            var (headerRead, left) = (0, 0);
            int read;
            while ((read = await _server.ReceiveAsync(buffer)) > 0)
            {
                var ready = false;
                for (var at = 0; at < read;)
                {
                    if (left > 0)
                    {
                        var skipped = Math.Min(left, read - at);
                        at += skipped;
                        left -= skipped;
                    }
                    else
                    {
                        header[headerRead++] = buffer[at++];
                        if (headerRead == HeaderSize)
                        {
                            left = BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(1)) - 4;
                            headerRead = 0;
                        }
                    }

                    ready = left == 0 && headerRead == 0 && header[0] == 'Z';
                }

                if (_trapped is { } trap)
                {
                    kept.Write(buffer, 0, read);
                    if (!ready)
                        continue;
                    _trapped = null;
                    if (!await HoldAsync(trap))
                        return;
                    await SendAsync(client, kept.ToArray());
                    kept.SetLength(0);
                }
                else
                {
                    await SendAsync(client, buffer.AsMemory(0, read));
                }
            }
        }
        finally
        {
            Abort();
        }
    }

    private async Task<bool> HoldAsync(CommitTrap trap)
    {
        var held = new HeldCommit(proxy);
        trap.Snap(held);
        return await Task.WhenAny(held.Released, _closed.Task) == held.Released && await held.Released;
    }

    /// <summary>The length of the first message; null if it is incomplete.</summary>
    private static int? Next(ReadOnlySpan<byte> bytes, bool starting)
    {
        var lengthAt = starting ? 0 : 1;
        if (bytes.Length < lengthAt + 4)
            return null;
        var length = BinaryPrimitives.ReadInt32BigEndian(bytes[lengthAt..]) + lengthAt;
        return bytes.Length >= Math.Max(length, starting ? 8 : HeaderSize) ? length : null;
    }

    /// <summary>Tracks the client's statements; true for a message that commits.</summary>
    private bool IsCommit(ReadOnlySpan<byte> message)
    {
        switch ((char)message[0])
        {
            case 'Q':
                var query = Text(message[HeaderSize..]);
                if (query.StartsWith("BEGIN", StringComparison.OrdinalIgnoreCase))
                {
                    Begin(inTransaction: true);
                    return false;
                }

                if (query.StartsWith("ROLLBACK", StringComparison.OrdinalIgnoreCase))
                {
                    Begin(inTransaction: false);
                    return false;
                }

                if (query.StartsWith("COMMIT", StringComparison.OrdinalIgnoreCase))
                {
                    _inTransaction = false;
                    return _committed = true;
                }

                Add(query);
                return EndsAlone();
            case 'P':
                // Parse: a name and the statement. A named statement is prepared, and executed by later Bind messages.
                var prepared = Text(message[HeaderSize..]);
                var statement = Text(message[(HeaderSize + Encoding.UTF8.GetByteCount(prepared) + 1)..]);
                if (prepared.Length > 0)
                    _prepared[prepared] = statement;
                else
                    Add(statement);
                return false;
            case 'B':
                // Bind: a portal and the name of a statement.
                var portal = message[HeaderSize..].IndexOf((byte)0);
                if (_prepared.TryGetValue(Text(message[(HeaderSize + portal + 1)..]), out var bound))
                    Add(bound);
                return false;
            case 'S':
                return EndsAlone();
            default:
                return false;
        }
    }

    private void Begin(bool inTransaction)
    {
        _inTransaction = inTransaction;
        _committed = false;
        _statements.Clear();
    }

    // The end of a batch commits if there is no explicit transaction.
    private bool EndsAlone() => _committed = !_inTransaction;

    private void Add(string statement)
    {
        if (_committed || _statements.Count >= MaxStatements)
            _statements.Clear();
        _committed = false;
        _statements.Add(statement);
    }

    private static string Text(ReadOnlySpan<byte> bytes) => bytes.IndexOf((byte)0) is >= 0 and var end ? Encoding.UTF8.GetString(bytes[..end]) : "";

    private static async Task SendAsync(Socket to, ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0)
            bytes = bytes[await to.SendAsync(bytes)..];
    }
}
