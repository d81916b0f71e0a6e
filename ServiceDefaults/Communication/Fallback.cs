using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Platform.ServiceDefaults.Communication;

/// <summary>What a use of a dependency does while the dependency is unavailable.</summary>
public enum FallbackKind
{
    /// <summary>Serves a stale or partial answer, marked as such.</summary>
    FailOpen,

    /// <summary>Accepts the work now and does it later.</summary>
    Queue,

    /// <summary>Answers 503 with <c>Retry-After</c>.</summary>
    FailClosed,

    /// <summary>Logs, counts and ignores the failure.</summary>
    BestEffort,
}

/// <summary>
/// Describes what one use of a dependency does while it is unavailable. Declared once, next to that use, and registered by <see cref="FallbackExtensions.AddFallback"/>, so that
/// <c>/api/status/services</c> shows it before it is ever needed.
/// </summary>
/// <param name="Destination">The dependency.</param>
/// <param name="Use">What it is used for, in a word or two.</param>
/// <param name="Kind">What happens while it is unavailable.</param>
public sealed record Fallback(string Destination, string Use, FallbackKind Kind)
{
    /// <summary><c>fail-open</c>, <c>queue</c>, <c>fail-closed</c> or <c>best-effort</c>.</summary>
    public string KindText { get; } = JsonNamingPolicy.KebabCaseLower.ConvertName(Kind.ToString());
}

/// <summary>A fallback and its use, as shown in reports.</summary>
/// <param name="Use">What the dependency is used for.</param>
/// <param name="Kind"><c>fail-open</c>, <c>queue</c>, <c>fail-closed</c> or <c>best-effort</c>.</param>
/// <param name="Used">How often this process has used it.</param>
/// <param name="LastUsedAt">When it was last used, UTC.</param>
public sealed record FallbackStatus(string Use, string Kind, long Used, DateTimeOffset? LastUsedAt);

/// <summary>Registers fallbacks.</summary>
public static class FallbackExtensions
{
    /// <summary>Adds a fallback to the reports about its dependency.</summary>
    public static IServiceCollection AddFallback(this IServiceCollection services, Fallback fallback) => services.AddSingleton(fallback);
}

/// <summary>Counts uses of fallbacks and records them on the current span.</summary>
public sealed class Fallbacks
{
    private readonly Dictionary<Fallback, Uses> _uses;
    private readonly CommunicationSignals _signals;
    private readonly TimeProvider _time;

    internal Fallbacks(IEnumerable<Fallback> declared, CommunicationSignals signals, TimeProvider time) =>
        (_uses, _signals, _time) = (declared.Distinct().ToDictionary(fallback => fallback, _ => new Uses()), signals, time);

    /// <summary>Records a use of <paramref name="fallback"/>, with the age of the stale answer if there is one.</summary>
    /// <exception cref="KeyNotFoundException">The fallback was not registered.</exception>
    public void Use(Fallback fallback, TimeSpan? age = null)
    {
        var uses = _uses[fallback];
        Interlocked.Increment(ref uses.Count);
        Interlocked.Exchange(ref uses.LastTicks, _time.GetUtcNow().UtcTicks);
        _signals.FellBack(fallback, age);
        Activity.Current?.AddEvent(new("fallback", _time.GetUtcNow(), new()
        {
            ["peer.service"] = fallback.Destination,
            ["explanation"] = age is { } old ? string.Create(CultureInfo.InvariantCulture, $"{fallback.Use}: {fallback.KindText}, {old.TotalSeconds:0} s old") : $"{fallback.Use}: {fallback.KindText}",
        }));
    }

    /// <summary>The fallbacks of one dependency.</summary>
    internal IReadOnlyList<FallbackStatus> Of(string destination) => [.. _uses.Where(entry => entry.Key.Destination == destination)
        .Select(entry => new FallbackStatus(
            entry.Key.Use,
            entry.Key.KindText,
            Interlocked.Read(ref entry.Value.Count),
            Interlocked.Read(ref entry.Value.LastTicks) is > 0 and var ticks ? new DateTimeOffset(ticks, TimeSpan.Zero) : null))
        .OrderBy(fallback => fallback.Use, StringComparer.Ordinal)];

    private sealed class Uses
    {
        public long Count;
        public long LastTicks;
    }
}
