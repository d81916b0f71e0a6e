using System.Globalization;

namespace Platform.Backend.Console;

/// <summary>Formats durations.</summary>
internal static class Durations
{
    /// <summary>"84 ms", "1.2 s", "3 min", "2 h", "5 days".</summary>
    public static string Text(TimeSpan time) => time switch
    {
        { TotalMilliseconds: < 1 } => "under 1 ms",
        { TotalSeconds: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0} ms"),
        { TotalSeconds: < 10 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.0} s"),
        { TotalMinutes: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{Math.Floor(time.TotalSeconds)} s"),
        { TotalHours: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{Math.Floor(time.TotalMinutes)} min"),
        { TotalDays: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{Math.Floor(time.TotalHours)} h"),
        { TotalDays: < 2 } => "1 day",
        _ => string.Create(CultureInfo.InvariantCulture, $"{Math.Floor(time.TotalDays)} days"),
    };

    /// <summary>"just now", "3 min ago"; the date when it is more than 30 days ago.</summary>
    public static string Ago(TimeSpan time, DateTimeOffset at) => time switch
    {
        { TotalSeconds: < 10 } => "just now",
        { TotalDays: > 30 } => at.UtcDateTime.ToString("d MMMM yyyy", CultureInfo.InvariantCulture),
        _ => $"{Text(time)} ago",
    };
}

/// <summary>Picks a tint by name, always the same for the same name.</summary>
internal static class Tints
{
    private const int Count = 6;

    public static int Of(string seed) => (int)((uint)seed.Aggregate(7, (sum, letter) => unchecked((sum * 31) + letter)) % Count);
}
