using System.Net;
using System.Net.Sockets;
using Platform.TestSupport;

namespace Platform.ResilienceTesting.Tests;

/// <summary>The effect of each fault on both ends of a real connection.</summary>
public sealed class TcpFaultProxyTests : IAsyncDisposable
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly ObservableTimeProvider _time = new();
    private readonly FaultInjector _faults;
    private readonly LoopbackServer _server;

    public TcpFaultProxyTests()
    {
        _faults = new FaultInjector(time: _time);
        _server = new LoopbackServer(_faults);
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Without_a_fault_bytes_and_end_of_stream_pass_in_both_directions()
    {
        var (client, server) = await _server.PairAsync();
        var sent = new string('x', 1_000_000);

        var sending = Task.Run(async () =>
        {
            await client.SendTextAsync(sent);
            client.Shutdown(SocketShutdown.Send);
        });
        (await server.ReceiveTextAsync(sent.Length + 1)).ShouldBe(sent);
        await sending;
        await server.SendTextAsync("the answer");
        server.Shutdown(SocketShutdown.Send);

        (await client.ReceiveTextAsync(100)).ShouldBe("the answer");
        await Eventually.TrueAsync(() => _server.Proxy.OpenConnections == 0);
        _server.Proxy.Connections.ShouldBe(1);
        _server.Proxy.BytesToTarget.ShouldBe(1_000_001);
        _server.Proxy.BytesToClient.ShouldBe(11);
        _server.Proxy.FaultsApplied.ShouldBe(0);
    }

    [Fact]
    public async Task A_reset_by_the_target_resets_the_client()
    {
        var (client, server) = await _server.PairAsync();

        server.LingerState = new LingerOption(enable: true, seconds: 0);
        server.Dispose();

        await client.ShouldBeResetAsync();
    }

    [Fact]
    public async Task An_unreachable_target_resets_the_client_and_the_description_contains_the_error()
    {
        await using var proxy = new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, FreePort.Next()));
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

        // The reset may arrive before ConnectAsync has completed.
        var error = await Should.ThrowAsync<SocketException>(async () =>
        {
            await client.ConnectAsync(proxy.EndPoint, Cancel);
            await client.ReceiveTextAsync(1);
        });

        error.SocketErrorCode.ShouldBe(SocketError.ConnectionReset);
        proxy.ToString().ShouldContain("target not reached: ");
    }

    [Fact]
    public async Task The_targets_address_is_resolved_for_each_connection()
    {
        await using var other = new LoopbackServer();
        var targets = new Queue<EndPoint>([_server.Proxy.EndPoint, other.Proxy.EndPoint]);
        await using var proxy = new TcpFaultProxy(_ => ValueTask.FromResult(targets.Dequeue()));

        using var first = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await first.ConnectAsync(proxy.EndPoint, Cancel);
        await (await _server.AcceptAsync()).SendTextAsync("1");
        using var second = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await second.ConnectAsync(proxy.EndPoint, Cancel);
        await (await other.AcceptAsync()).SendTextAsync("2");

        (await first.ReceiveTextAsync(1)).ShouldBe("1");
        (await second.ReceiveTextAsync(1)).ShouldBe("2");
    }

    [Fact]
    public async Task Latency_delays_replies_and_not_requests()
    {
        var (client, server) = await _server.PairAsync();
        using var latency = _faults.Latency(Second);

        await client.SendTextAsync("?");
        (await server.ReceiveTextAsync(1)).ShouldBe("?");
        await server.SendTextAsync("late");
        await _time.TimerAsync(Second);
        _time.Advance(Second - TimeSpan.FromTicks(1));
        client.Available.ShouldBe(0);
        _time.Advance(TimeSpan.FromTicks(1));

        (await client.ReceiveTextAsync(4)).ShouldBe("late");
        latency.Struck.ShouldBe(1);
    }

    [Fact]
    public async Task Jitter_depends_on_the_seed()
    {
        var first = await DelaysAsync(seed: 7);

        (await DelaysAsync(seed: 7)).ShouldBe(first);
        (await DelaysAsync(seed: 8)).ShouldNotBe(first);
        first.ShouldAllBe(delay => delay >= TimeSpan.FromMilliseconds(600) && delay <= TimeSpan.FromMilliseconds(1400));
        first.Distinct().Count().ShouldBe(first.Count);

        static async Task<List<TimeSpan>> DelaysAsync(int seed)
        {
            var time = new ObservableTimeProvider();
            await using var server = new LoopbackServer(new FaultInjector(seed, time));
            var (client, target) = await server.PairAsync();
            using var latency = server.Proxy.Faults.Latency(Second, jitter: TimeSpan.FromMilliseconds(400));
            List<TimeSpan> delays = [];
            for (var i = 0; i < 4; i++)
            {
                await target.SendTextAsync("x");
                delays.Add(await time.TimerAsync(TimeSpan.Zero, 2 * Second));
                time.Advance(delays[^1]);
                (await client.ReceiveTextAsync(1)).ShouldBe("x");
            }

            return delays;
        }
    }

    [Fact]
    public async Task Delayed_bytes_are_forwarded_when_the_fault_ends()
    {
        var (client, server) = await _server.PairAsync();
        var latency = _faults.Latency(TimeSpan.FromHours(1));
        await server.SendTextAsync("late");
        await _time.TimerAsync(TimeSpan.FromHours(1));

        latency.Dispose();

        (await client.ReceiveTextAsync(4)).ShouldBe("late");
    }

    [Fact]
    public async Task Reset_resets_open_connections_at_once_and_new_ones_at_their_first_byte()
    {
        var (client, server) = await _server.PairAsync();

        using (_faults.Reset())
        {
            await client.ShouldBeResetAsync();
            await server.ShouldBeResetAsync();
            var another = await _server.ConnectAsync();
            await another.SendTextAsync("?");
            await another.ShouldBeResetAsync();
        }

        _server.Proxy.FaultsApplied.ShouldBe(2);
        await (await _server.ConnectAsync()).SendTextAsync("?");
        await _server.AcceptAsync();
        (await (await _server.AcceptAsync()).ReceiveTextAsync(1)).ShouldBe("?");
    }

    [Fact]
    public async Task A_black_hole_discards_all_bytes_and_resets_affected_connections_when_it_ends()
    {
        var (client, server) = await _server.PairAsync();
        var (idle, idleServer) = await _server.PairAsync();
        Socket another;
        using (var hole = _faults.BlackHole())
        {
            await client.SendTextAsync("request");
            await server.SendTextAsync("reply");
            another = await _server.ConnectAsync();
            await another.SendTextAsync("request");
            // Wait until all bytes were discarded; a connection that lost none is not reset.
            await Eventually.TrueAsync(() => _server.Proxy.BytesSwallowed == 19);
            hole.Struck.ShouldBe(2);
            client.Available.ShouldBe(0);
            server.Available.ShouldBe(0);
            another.Available.ShouldBe(0);
        }

        await client.ShouldBeResetAsync();
        await another.ShouldBeResetAsync();
        await idle.SendTextAsync("?");
        (await idleServer.ReceiveTextAsync(1)).ShouldBe("?");
    }

    [Fact]
    public async Task A_black_hole_hides_that_the_target_is_down()
    {
        await using var proxy = new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, FreePort.Next()));
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        var hole = proxy.Faults.BlackHole();
        await client.ConnectAsync(proxy.EndPoint, Cancel);
        await Eventually.TrueAsync(() => hole.Struck == 1);
        client.Poll(0, SelectMode.SelectRead).ShouldBeFalse();

        hole.Dispose();

        await client.ShouldBeResetAsync();
    }

    [Fact]
    public async Task Slices_arrive_one_by_one()
    {
        var (client, server) = await _server.PairAsync();
        using var slices = _faults.Slice(3, Second);

        await server.SendTextAsync("abcdefgh");
        foreach (var piece in new[] { "abc", "def", "gh" })
        {
            await _time.TimerAsync(Second);
            client.Available.ShouldBe(0);
            _time.Advance(Second);
            (await client.ReceiveTextAsync(piece.Length)).ShouldBe(piece);
        }
    }

    [Fact]
    public async Task Half_close_ends_replies_and_not_requests()
    {
        var (client, server) = await _server.PairAsync();
        using (_faults.HalfClose())
        {
            await client.ShouldEndAsync();
            await client.SendTextAsync("still here");
            (await server.ReceiveTextAsync(10)).ShouldBe("still here");
            await server.SendTextAsync("never seen");

            var another = await _server.ConnectAsync();
            await another.ShouldEndAsync();
            await another.SendTextAsync("me too");
            (await (await _server.AcceptAsync()).ReceiveTextAsync(6)).ShouldBe("me too");
        }

        await client.ShouldEndAsync();
    }

    [Fact]
    public async Task Bandwidth_limits_the_bytes_per_second()
    {
        var (client, server) = await _server.PairAsync();
        using var bandwidth = _faults.Bandwidth(100);

        await server.SendTextAsync(new string('x', 200));
        var received = client.ReceiveTextAsync(200);
        for (var waited = TimeSpan.Zero; waited < 2 * Second;)
        {
            received.IsCompleted.ShouldBeFalse();
            var pause = await _time.TimerAsync(TimeSpan.Zero, Second);
            _time.Advance(pause);
            waited += pause;
        }

        (await received).Length.ShouldBe(200);
    }

    [Fact]
    public async Task CutBody_applies_the_limit_to_each_reply()
    {
        using var cut = _faults.CutBody(4);
        var (client, server) = await _server.PairAsync();

        await client.SendTextAsync("first");
        await server.ReceiveTextAsync(5);
        await server.SendTextAsync("abcd");
        (await client.ReceiveTextAsync(4)).ShouldBe("abcd");
        await client.SendTextAsync("second");
        await server.ReceiveTextAsync(6);
        await server.SendTextAsync("abcdef");

        (await client.ReceiveTextAsync(100)).ShouldBe("abcd");
    }

    [Fact]
    public async Task Refuse_refuses_connections_and_keeps_the_port()
    {
        var (client, _) = await _server.PairAsync();
        using (_faults.Refuse())
        {
            await client.ShouldBeResetAsync();
            var error = await Should.ThrowAsync<SocketException>(_server.ConnectAsync);
            error.SocketErrorCode.ShouldBe(SocketError.ConnectionRefused);
        }

        await _server.PairAsync();
    }

    [Fact]
    public async Task Flapping_alternates_between_accepting_and_refusing()
    {
        using (_faults.Flap(up: 2 * Second, down: Second))
        {
            for (var turn = 0; turn < 3; turn++)
            {
                var (client, _) = await _server.PairAsync();
                _time.Advance(2 * Second);
                await client.ShouldBeResetAsync();
                await Should.ThrowAsync<SocketException>(_server.ConnectAsync);
                _time.Advance(Second);
            }

            _time.Advance(2 * Second);
            _faults.Description.ShouldStartWith("flapping, 2000 ms up and 1000 ms down (down now); seed 1; 127.0.0.1:");
        }

        await _server.PairAsync();
        _time.ActiveTimers.ShouldBe(0);
    }

    [Fact]
    public async Task Scopes_can_be_nested_and_end_in_any_order()
    {
        var slices = _faults.Slice(1);
        var outer = _faults.Refuse();
        var inner = _faults.Refuse();
        _faults.Current.Select(fault => fault.ToString()).ShouldBe(["slices of 1 B", "connection refused", "connection refused"]);

        outer.Dispose();
        outer.Dispose();
        await Should.ThrowAsync<SocketException>(_server.ConnectAsync);
        slices.Dispose();
        await Should.ThrowAsync<SocketException>(_server.ConnectAsync);
        inner.Dispose();

        await _server.PairAsync();
        _faults.Description.ShouldStartWith("no fault; seed 1; ");
    }

    [Fact]
    public async Task Which_connections_are_affected_depends_on_the_seed()
    {
        var first = await FatesAsync(seed: 3);

        first.Count(reset => reset).ShouldBeInRange(1, first.Count - 1);
        (await FatesAsync(seed: 3)).ShouldBe(first);
        (await FatesAsync(seed: 4)).ShouldNotBe(first);

        static async Task<List<bool>> FatesAsync(int seed)
        {
            await using var server = new LoopbackServer(new FaultInjector(seed));
            using var reset = server.Proxy.Faults.Reset(probability: 0.5);
            List<bool> fates = [];
            for (var i = 0; i < 20; i++)
            {
                using var client = await server.ConnectAsync();
                await client.SendTextAsync("?");
                using var target = await server.AcceptAsync();
                try
                {
                    fates.Add(await target.ReceiveTextAsync(1) != "?");
                }
                catch (SocketException)
                {
                    fates.Add(true);
                }
            }

            return fates;
        }
    }

    [Fact]
    public async Task A_failure_during_a_fault_describes_the_fault()
    {
        var failure = await Should.ThrowAsync<FaultedException>(
            () => _faults.Latency(Second, 0.1 * Second, probability: 0.25).DuringAsync(() => throw new InvalidOperationException("Too late.")));

        failure.Message.ShouldStartWith($"Too late.{Environment.NewLine}Under latency of 1000 ms ± 100 ms on 25 % of the connections; seed 1; 127.0.0.1:");
        failure.InnerException.ShouldBeOfType<InvalidOperationException>();
        _faults.Current.ShouldBeEmpty();
    }

    [Fact]
    public async Task Disposing_a_proxy_closes_its_connections_and_releases_its_timers()
    {
        var (client, server) = await _server.PairAsync();
        using var latency = _faults.Latency(TimeSpan.FromHours(1));
        await server.SendTextAsync("never");
        await _time.TimerAsync(TimeSpan.FromHours(1));

        await _server.Proxy.DisposeAsync();

        await client.ShouldBeResetAsync();
        _server.Proxy.OpenConnections.ShouldBe(0);
        _time.ActiveTimers.ShouldBe(0);
        _faults.Proxies.ShouldBeEmpty();
        await Should.ThrowAsync<SocketException>(_server.ConnectAsync);
    }

    [Fact]
    public void Invalid_arguments_are_refused()
    {
        Should.Throw<ArgumentOutOfRangeException>(() => _faults.Latency(-Second));
        Should.Throw<ArgumentOutOfRangeException>(() => _faults.Slice(0));
        Should.Throw<ArgumentOutOfRangeException>(() => _faults.Bandwidth(0));
        Should.Throw<ArgumentOutOfRangeException>(() => _faults.CutBody(-1));
        Should.Throw<ArgumentOutOfRangeException>(() => _faults.Flap(TimeSpan.Zero, Second));
        Should.Throw<ArgumentOutOfRangeException>(() => _faults.Reset(1.1));
        Should.Throw<ArgumentOutOfRangeException>(() => _faults.Reset(double.NaN));
        _faults.Current.ShouldBeEmpty();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
