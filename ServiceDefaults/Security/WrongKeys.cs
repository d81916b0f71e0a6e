using System.Net;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Security;

/// <summary>
/// Throttles guessing of API keys: after ten wrong keys from one address (<see cref="ClientAddress"/>) it has to wait a second, doubled with each further one up to a minute.
/// Wrong keys are forgotten ten minutes after the last one. Repeating the same wrong key doesn't count and needs no database lookup, so that a program whose key was revoked
/// neither locks out its neighbours nor causes load. In memory, per process, for at most 10,000 addresses.
/// </summary>
public sealed class WrongKeys(TimeProvider time)
{
    private const int Free = 10;
    private const int Capacity = 10_000;

    private static readonly TimeSpan FirstWait = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestWait = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Remembered = TimeSpan.FromMinutes(10);

    private readonly Lock _lock = new();
    private readonly Dictionary<IPAddress, Guesses> _guesses = [];

    /// <summary>Number of addresses remembered.</summary>
    internal int Addresses
    {
        get { lock (_lock) { return _guesses.Count; } }
    }

    /// <summary>Whether this client's keys are currently rejected unseen, and for how long.</summary>
    public bool MustWait(HttpContext context, out TimeSpan retryAfter)
    {
        lock (_lock)
        {
            retryAfter = _guesses.TryGetValue(ClientAddress.Of(context), out var guesses) ? guesses.Until - time.GetUtcNow() : TimeSpan.Zero;
            return retryAfter > TimeSpan.Zero;
        }
    }

    /// <summary>Whether the client's last wrong key had the SHA-256 <paramref name="digest"/>.</summary>
    public bool WasLast(HttpContext context, ReadOnlySpan<byte> digest)
    {
        var mark = BitConverter.ToUInt64(digest);
        lock (_lock)
        {
            return _guesses.TryGetValue(ClientAddress.Of(context), out var guesses) && guesses.LastMark == mark && time.GetUtcNow() - guesses.LastAt < Remembered;
        }
    }

    /// <summary>Counts a wrong key with the SHA-256 <paramref name="digest"/>.</summary>
    public void Add(HttpContext context, ReadOnlySpan<byte> digest)
    {
        var address = ClientAddress.Of(context);
        // 64 bits are enough to recognise a repeated key.
        var mark = BitConverter.ToUInt64(digest);
        var now = time.GetUtcNow();
        lock (_lock)
        {
            var before = _guesses.GetValueOrDefault(address) is { } guesses && now - guesses.LastAt < Remembered ? guesses : null;
            if (before?.LastMark == mark)
            {
                return;
            }

            if (before is null && _guesses.Count >= Capacity)
            {
                MakeRoom(now);
            }

            var count = (before?.Count ?? 0) + 1;
            var wait = count < Free ? TimeSpan.Zero : FirstWait * Math.Pow(2, Math.Min(count - Free, 10));
            _guesses[address] = new(count, mark, now, now + (wait > LongestWait ? LongestWait : wait));
        }
    }

    // Evicts a tenth at once, so that a flood from ever new addresses doesn't sort the table each time.
    private void MakeRoom(DateTimeOffset now)
    {
        foreach (var (address, _) in _guesses.Where(guesses => now - guesses.Value.LastAt >= Remembered).ToList())
        {
            _guesses.Remove(address);
        }

        if (_guesses.Count >= Capacity)
        {
            foreach (var (address, _) in _guesses.OrderBy(guesses => guesses.Value.LastAt).Take(Capacity / 10).ToList())
            {
                _guesses.Remove(address);
            }
        }
    }

    private sealed record Guesses(int Count, ulong LastMark, DateTimeOffset LastAt, DateTimeOffset Until);
}
