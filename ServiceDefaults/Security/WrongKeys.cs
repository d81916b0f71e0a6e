using System.Net;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Security;

/// <summary>
/// Slows down who guesses at keys: after ten wrong ones from one address (<see cref="ClientAddress"/>) that address has to wait a second, after each further one twice
/// as long, at most a minute. Wrong keys are forgotten ten minutes after the last of them. The same wrong key again is no guess, and need not be looked up: a program whose
/// key was revoked neither locks out its neighbours nor costs anything. Kept in memory, for at most 10,000 addresses; each process counts for itself.
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

    /// <summary>How many addresses are remembered.</summary>
    internal int Addresses
    {
        get
        {
            lock (_lock)
            {
                return _guesses.Count;
            }
        }
    }

    /// <summary>Whether keys from this client are not looked at just now, and for how long.</summary>
    public bool MustWait(HttpContext context, out TimeSpan retryAfter)
    {
        lock (_lock)
        {
            retryAfter = _guesses.TryGetValue(ClientAddress.Of(context), out var guesses) ? guesses.Until - time.GetUtcNow() : TimeSpan.Zero;
            return retryAfter > TimeSpan.Zero;
        }
    }

    /// <summary>Whether the last wrong key of this client was the one of which <paramref name="digest"/> is the SHA-256.</summary>
    public bool WasLast(HttpContext context, ReadOnlySpan<byte> digest)
    {
        var mark = BitConverter.ToUInt64(digest);
        lock (_lock)
        {
            return _guesses.TryGetValue(ClientAddress.Of(context), out var guesses) && guesses.LastMark == mark && time.GetUtcNow() - guesses.LastAt < Remembered;
        }
    }

    /// <summary>Counts a wrong key, of which <paramref name="digest"/> is the SHA-256.</summary>
    public void Add(HttpContext context, ReadOnlySpan<byte> digest)
    {
        var address = ClientAddress.Of(context);
        // enough to tell a key that is sent again from another guess
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

    // a tenth at once, so that a flood from ever new addresses doesn't sort them for each
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
