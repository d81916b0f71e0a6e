using System.Net.Sockets;

namespace Platform.ResilienceTesting;

/// <summary>A client's connection and the corresponding connection to the target.</summary>
internal sealed class ProxiedConnection(TcpFaultProxy proxy, Socket client, int ordinal) : IDisposable
{
    private const int BufferSize = 16 * 1024;

    private readonly Lock _lock = new();
    private readonly HashSet<ActiveFault> _struckBy = [];
    private readonly CancellationTokenSource _aborting = new();
    private readonly ReplyMeter _reply = new();
    private readonly TrafficShaper _shaper = new(proxy.Faults.Time, Seeds.Generator(proxy.Faults.Seed, ordinal, 0));
    private Socket? _target;
    private bool _closed;
    private volatile bool _lostBytes;
    private volatile bool _requested;
    private volatile bool _repliesEnded;
    private volatile bool _targetLeft;
    private volatile bool _clientLeft;

    private FaultInjector Faults => proxy.Faults;

    /// <summary>Forwards bytes until both sides have ended. Does not throw: an error on one side closes the other.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(stopping, _aborting.Token);
        try
        {
            client.NoDelay = true;
            if (Striking<HalfCloseFault>() is { } halfClose)
                EndReplies(halfClose);
            if (await HoldAsync(linked.Token) && await ConnectAsync(linked.Token) is { } target)
                await Task.WhenAll(PumpAsync(client, target, toTarget: true, linked.Token), PumpAsync(target, client, toTarget: false, linked.Token));
        }
        catch (Exception exception) when (IsEnd(exception))
        {
            Abort();
        }
    }

    /// <summary>Resets both sides.</summary>
    public void Abort()
    {
        lock (_lock)
        {
            if (_closed)
                return;
            _closed = true;
            Reset(client);
            if (_target is not null)
                Reset(_target);
        }

        try
        {
            _aborting.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The connection was disposed in the meantime.
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _closed = true;
            client.Dispose();
            _target?.Dispose();
        }

        _aborting.Dispose();
    }

    /// <summary>Applies a fault that begins while the connection is open.</summary>
    public void FaultBegan(ActiveFault fault)
    {
        if (!fault.Strikes(ordinal))
            return;
        if (fault.Fault is HalfCloseFault)
        {
            EndReplies(fault);
        }
        else
        {
            Strike(fault);
            Abort();
        }
    }

    public void FaultEnded(ActiveFault fault)
    {
        if (fault.Fault is BlackHoleFault)
            AbortIfIncomplete();
    }

    private static bool IsEnd(Exception exception) => exception is SocketException or ObjectDisposedException or OperationCanceledException;

    private static void Reset(Socket socket)
    {
        try
        {
            // Closing with a linger time of 0 sends RST instead of FIN.
            socket.LingerState = new LingerOption(enable: true, seconds: 0);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // Already reset by the peer.
        }

        socket.Dispose();
    }

    // Interim responses such as "100 Continue" are sent before the request is processed.
    private static bool IsInterim(ReadOnlySpan<byte> bytes) => bytes.StartsWith("HTTP/1.1 1"u8) || bytes.StartsWith("HTTP/1.0 1"u8);

    private IEnumerable<ActiveFault> Striking() => Faults.Active.Where(fault => fault.Strikes(ordinal));

    private ActiveFault? Striking<T>()
        where T : Fault => Striking().FirstOrDefault(fault => fault.Fault is T);

    private void Strike(ActiveFault fault)
    {
        lock (_lock)
        {
            if (!_struckBy.Add(fault))
                return;
        }

        fault.CountStrike();
        proxy.CountStrike();
    }

    /// <summary>Delays connecting to the target during a black hole, so that the client can't notice whether the target is up. False if the client disconnected.</summary>
    private async Task<bool> HoldAsync(CancellationToken cancellationToken)
    {
        var buffer = new byte[BufferSize];
        while (Striking<BlackHoleFault>() is { } hole)
        {
            Strike(hole);
            using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, hole.Ended);
            try
            {
                var count = await client.ReceiveAsync(buffer, linked.Token);
                if (count == 0)
                    return false;
                Swallow(count);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // The black hole ended before any bytes were lost.
            }
        }

        return true;
    }

    private async Task<Socket?> ConnectAsync(CancellationToken cancellationToken)
    {
        var target = await proxy.ConnectAsync(cancellationToken);
        if (target is null)
        {
            Abort();
            return null;
        }

        lock (_lock)
        {
            if (!_closed)
                return _target = target;
        }

        target.Dispose();
        return null;
    }

    private async Task PumpAsync(Socket from, Socket to, bool toTarget, CancellationToken cancellationToken)
    {
        var buffer = new byte[BufferSize];
        try
        {
            int count;
            while ((count = await from.ReceiveAsync(buffer, cancellationToken)) > 0)
            {
                if (toTarget)
                    OnRequest();
                if (!await ForwardAsync(to, buffer.AsMemory(0, count), toTarget, cancellationToken))
                    return;
            }

            if (Striking<BlackHoleFault>() is { } hole)
            {
                Strike(hole);
                Swallow(0);
            }
            else if (!(toTarget ? _targetLeft : _repliesEnded))
            {
                to.Shutdown(SocketShutdown.Send);
            }
        }
        catch (Exception exception) when (IsEnd(exception))
        {
            // After a dropped reply the connection to the target stays open, because the target must finish processing the request.
            if (!(toTarget && _clientLeft))
                Abort();
        }
    }

    private void OnRequest()
    {
        _requested = true;
        lock (_reply)
            _reply.NewReply();
    }

    /// <summary>Forwards bytes, applying the faults. False if forwarding in this direction ends.</summary>
    private async Task<bool> ForwardAsync(Socket to, ReadOnlyMemory<byte> bytes, bool toTarget, CancellationToken cancellationToken)
    {
        for (var first = true; bytes.Length > 0; first = false)
        {
            var piece = await _shaper.NextPieceAsync(bytes, Striking().ToList(), Strike, toTarget, first, cancellationToken);

            // Checked after the pauses, because faults may have begun or ended during them.
            if (Striking<ResetFault>() is { } reset)
            {
                Strike(reset);
                Abort();
                return false;
            }

            if (Striking<BlackHoleFault>() is { } hole)
            {
                Strike(hole);
                Swallow(bytes.Length);
                return true;
            }

            if (toTarget)
            {
                if (!_targetLeft)
                    await SendToTargetAsync(to, piece, cancellationToken);
            }
            else
            {
                if (_repliesEnded)
                    return true;
                if (_requested && !IsInterim(piece.Span) && Striking<DropReplyFault>() is { } drop)
                {
                    await DropReplyAsync(drop, cancellationToken);
                    return false;
                }

                var passing = CutAt(piece, out var cut);
                await SendAsync(to, passing, toTarget, cancellationToken);
                if (cut is not null)
                {
                    EndReplies(cut);
                    LeaveTarget();
                    return false;
                }
            }

            bytes = bytes[piece.Length..];
        }

        return true;
    }

    private ReadOnlyMemory<byte> CutAt(ReadOnlyMemory<byte> piece, out ActiveFault? by)
    {
        by = Striking().Where(fault => fault.Fault is CutBodyFault).MinBy(fault => ((CutBodyFault)fault.Fault).AfterBytes);
        var limit = by is null ? long.MaxValue : ((CutBodyFault)by.Fault).AfterBytes;
        int passing;
        lock (_reply)
            passing = _reply.Take(piece.Span, limit);
        if (passing == piece.Length)
            by = null;
        return piece[..passing];
    }

    private async Task SendToTargetAsync(Socket target, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        try
        {
            await SendAsync(target, bytes, toTarget: true, cancellationToken);
        }
        catch (Exception exception) when (_targetLeft && exception is SocketException or ObjectDisposedException)
        {
            // The connection to the target was closed while sending.
        }
    }

    private async Task SendAsync(Socket to, ReadOnlyMemory<byte> bytes, bool toTarget, CancellationToken cancellationToken)
    {
        while (bytes.Length > 0)
        {
            var sent = await to.SendAsync(bytes, cancellationToken);
            proxy.CountBytes(toTarget, sent);
            bytes = bytes[sent..];
        }
    }

    /// <summary>Discards bytes or the end of the stream. The connection can't continue after that.</summary>
    private void Swallow(int count)
    {
        _lostBytes = true;
        proxy.CountSwallowed(count);
        // The black hole may have ended just before the flag was set.
        AbortIfIncomplete();
    }

    private void AbortIfIncomplete()
    {
        if (_lostBytes && Striking<BlackHoleFault>() is null)
            Abort();
    }

    private void EndReplies(ActiveFault fault)
    {
        Strike(fault);
        lock (_lock)
        {
            if (_repliesEnded || _closed)
                return;
            _repliesEnded = true;
            try
            {
                client.Shutdown(SocketShutdown.Send);
            }
            catch (SocketException)
            {
                // The client has disconnected.
            }
        }
    }

    private void LeaveTarget()
    {
        _targetLeft = true;
        lock (_lock)
            _target?.Dispose();
    }

    /// <summary>Resets the client, and reads the rest of the reply, so that the target doesn't notice.</summary>
    private async Task DropReplyAsync(ActiveFault fault, CancellationToken cancellationToken)
    {
        Strike(fault);
        _clientLeft = true;
        Reset(client);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, fault.Ended);
        var buffer = new byte[BufferSize];
        while (await _target!.ReceiveAsync(buffer, linked.Token) > 0)
        {
            // Discarded.
        }
    }
}
