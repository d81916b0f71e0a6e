using System.Net.Sockets;

namespace Platform.ResilienceTesting;

/// <summary>One client's connection and the one to the target that goes with it.</summary>
internal sealed class ProxiedConnection(TcpFaultProxy proxy, Socket client, int ordinal) : IDisposable
{
    private const int BufferSize = 16 * 1024;

    /// <summary>A bandwidth is kept in so many steps a second: few enough for a timer, many enough to be a stream.</summary>
    private const int BandwidthSteps = 20;

    private readonly Lock _lock = new();
    private readonly HashSet<ActiveFault> _struckBy = [];
    private readonly CancellationTokenSource _aborting = new();
    private readonly ReplyMeter _reply = new();
    private readonly Random _jitter = Seeds.Generator(proxy.Faults.Seed, ordinal, 0);
    private Socket? _target;
    private bool _over;
    private volatile bool _swallowed;
    private volatile bool _requested;
    private volatile bool _repliesEnded;
    private volatile bool _targetLeft;
    private volatile bool _clientLeft;

    private FaultInjector Faults => proxy.Faults;

    /// <summary>Passes bytes on until both sides have ended. Does not throw: whatever ends one side ends the other.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stopping, _aborting.Token);
        try
        {
            client.NoDelay = true;
            if (Striking<HalfCloseFault>() is { } halfClose)
                EndReplies(halfClose);
            if (await HoldAsync(either.Token) && await ConnectAsync(either.Token) is { } target)
                await Task.WhenAll(PumpAsync(client, target, toTarget: true, either.Token), PumpAsync(target, client, toTarget: false, either.Token));
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
            if (_over)
                return;
            _over = true;
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
            // it has come to its end meanwhile
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _over = true;
            client.Dispose();
            _target?.Dispose();
        }

        _aborting.Dispose();
    }

    /// <summary>What a fault does to a connection that is already there when it begins.</summary>
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
            // closing with nothing to linger for sends RST instead of FIN
            socket.LingerState = new LingerOption(enable: true, seconds: 0);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // the other side has reset it already
        }

        socket.Dispose();
    }

    // "100 Continue" and the like announce the reply; the request has yet to be served
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

    /// <summary>While there is a black hole the target is not even asked: it may be gone, and that must not show. False when the client left.</summary>
    private async Task<bool> HoldAsync(CancellationToken cancellationToken)
    {
        var buffer = new byte[BufferSize];
        while (Striking<BlackHoleFault>() is { } hole)
        {
            Strike(hole);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, hole.Ended);
            try
            {
                var count = await client.ReceiveAsync(buffer, either.Token);
                if (count == 0)
                    return false;
                Swallow(count);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // the black hole has ended; nothing was lost in it
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
            if (!_over)
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
            // after a dropped reply the target goes on undisturbed: it is to serve the request
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

    /// <summary>Passes bytes on as the faults have it. False when no more are to follow.</summary>
    private async Task<bool> ForwardAsync(Socket to, ReadOnlyMemory<byte> bytes, bool toTarget, CancellationToken cancellationToken)
    {
        for (var first = true; bytes.Length > 0; first = false)
        {
            var piece = await PieceAsync(bytes, toTarget, first, cancellationToken);

            // Only now: what has begun during a pause counts, and what has ended no longer does.
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

    /// <summary>The next piece that may go, once it may.</summary>
    private async Task<ReadOnlyMemory<byte>> PieceAsync(ReadOnlyMemory<byte> bytes, bool toTarget, bool first, CancellationToken cancellationToken)
    {
        var size = bytes.Length;
        List<(ActiveFault By, TimeSpan Pause)> pauses = [];
        var faults = Striking().ToList();
        foreach (var fault in faults)
        {
            size = fault.Fault switch
            {
                SliceFault slice => Math.Min(size, slice.MaxBytes),
                BandwidthFault bandwidth => (int)Math.Min(size, Math.Max(1, bandwidth.BytesPerSecond / BandwidthSteps)),
                _ => size,
            };
        }

        foreach (var fault in faults)
        {
            TimeSpan? pause = fault.Fault switch
            {
                LatencyFault latency when first && !toTarget => latency.Delay + (latency.Jitter * ((2 * _jitter.NextDouble()) - 1)),
                SliceFault slice => slice.Pause,
                BandwidthFault bandwidth => TimeSpan.FromSeconds((double)size / bandwidth.BytesPerSecond),
                _ => null,
            };
            if (pause is { } time)
                pauses.Add((fault, time));
        }

        foreach (var (fault, pause) in pauses)
        {
            Strike(fault);
            if (pause <= TimeSpan.Zero)
                continue;
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, fault.Ended);
            // the end of the fault ends the wait, and the bytes go on
            await Task.Delay(pause, Faults.Time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
        }

        return bytes[..size];
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
            // left while this was being sent
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

    /// <summary>Bytes, or the end of the stream, are lost: the connection can never go on.</summary>
    private void Swallow(int count)
    {
        _swallowed = true;
        proxy.CountSwallowed(count);
        // in case the black hole has ended just before it could know
        AbortIfIncomplete();
    }

    private void AbortIfIncomplete()
    {
        if (_swallowed && Striking<BlackHoleFault>() is null)
            Abort();
    }

    private void EndReplies(ActiveFault fault)
    {
        Strike(fault);
        lock (_lock)
        {
            if (_repliesEnded || _over)
                return;
            _repliesEnded = true;
            try
            {
                client.Shutdown(SocketShutdown.Send);
            }
            catch (SocketException)
            {
                // the client has left
            }
        }
    }

    private void LeaveTarget()
    {
        _targetLeft = true;
        lock (_lock)
            _target?.Dispose();
    }

    /// <summary>Resets the client, and takes the rest of the reply from the target, which is not to know.</summary>
    private async Task DropReplyAsync(ActiveFault fault, CancellationToken cancellationToken)
    {
        Strike(fault);
        _clientLeft = true;
        Reset(client);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, fault.Ended);
        var buffer = new byte[BufferSize];
        while (await _target!.ReceiveAsync(buffer, either.Token) > 0)
        {
            // gone
        }
    }
}
