using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Tests.Security;

public sealed class WrongKeysTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly WrongKeys _keys;
    private byte _guess;

    public WrongKeysTests() => _keys = new(_time);

    [Fact]
    public void Nine_wrong_keys_are_free()
    {
        Guess("192.0.2.1", times: 9);
        WaitOf("192.0.2.1").ShouldBeNull();
    }

    [Fact]
    public void From_the_tenth_on_each_wait_is_twice_as_long_up_to_a_minute()
    {
        Guess("192.0.2.1", times: 10);
        foreach (var seconds in (int[])[1, 2, 4, 8, 16, 32, 60, 60])
        {
            WaitOf("192.0.2.1").ShouldBe(TimeSpan.FromSeconds(seconds));
            _time.Advance(TimeSpan.FromSeconds(seconds));
            WaitOf("192.0.2.1").ShouldBeNull();
            Guess("192.0.2.1");
        }
    }

    [Fact]
    public void The_same_wrong_key_again_is_no_guess()
    {
        for (var n = 0; n < 100; n++)
            _keys.Add(From("192.0.2.1"), Digest(7));
        WaitOf("192.0.2.1").ShouldBeNull();
    }

    [Fact]
    public void The_last_wrong_key_of_each_is_known()
    {
        _keys.Add(From("192.0.2.1"), Digest(7));
        _keys.WasLast(From("192.0.2.1"), Digest(7)).ShouldBeTrue();
        _keys.WasLast(From("192.0.2.1"), Digest(8)).ShouldBeFalse();
        _keys.WasLast(From("192.0.2.2"), Digest(7)).ShouldBeFalse();
        _time.Advance(TimeSpan.FromMinutes(10));
        _keys.WasLast(From("192.0.2.1"), Digest(7)).ShouldBeFalse();
    }

    [Fact]
    public void Others_need_not_wait()
    {
        Guess("192.0.2.1", times: 20);
        WaitOf("192.0.2.2").ShouldBeNull();
    }

    [Fact]
    public void Whoever_has_an_IPv6_network_is_one_client()
    {
        for (var n = 0; n < 10; n++)
            Guess($"2001:db8::{n + 1:x}");
        WaitOf("2001:db8::ffff").ShouldNotBeNull();
        WaitOf("2001:db8:0:1::1").ShouldBeNull();
    }

    [Fact]
    public void Wrong_keys_are_forgotten_ten_minutes_after_the_last()
    {
        Guess("192.0.2.1", times: 15);
        _time.Advance(TimeSpan.FromMinutes(10));
        Guess("192.0.2.1", times: 9);
        WaitOf("192.0.2.1").ShouldBeNull();
    }

    [Fact]
    public void A_flood_from_ever_new_addresses_neither_grows_for_ever_nor_makes_the_latest_forgotten()
    {
        for (var n = 0; n < 25_000; n++)
        {
            Guess(new IPAddress([10, (byte)(n >> 16), (byte)(n >> 8), (byte)n]).ToString());
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Guess("192.0.2.1", times: 10);
        WaitOf("192.0.2.1").ShouldNotBeNull();
        _keys.Addresses.ShouldBeLessThanOrEqualTo(10_000);
    }

    private void Guess(string address, int times = 1)
    {
        for (var n = 0; n < times; n++)
            _keys.Add(From(address), Digest(++_guess));
    }

    private TimeSpan? WaitOf(string address) => _keys.MustWait(From(address), out var wait) ? wait : null;

    private static byte[] Digest(byte guess) => [.. Enumerable.Repeat(guess, 32)];

    private static DefaultHttpContext From(string address) => new() { Connection = { RemoteIpAddress = IPAddress.Parse(address) } };
}
