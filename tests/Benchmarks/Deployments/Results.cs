using System.Globalization;
using Spectre.Console;

namespace Platform.Benchmarks.Deployments;

/// <summary>Collects and prints the measurements.</summary>
internal static class Results
{
    private static readonly List<Row> Measured = [];
    private static double _commit;

    public static IReadOnlyList<Row> Rows => Measured;

    /// <summary>Adds the duration of a commit, which the other measurements are compared with.</summary>
    public static void AddCommit(List<double> samples)
    {
        AddTimes("COMMIT", samples);
        _commit = Measured[^1].P50;
    }

    public static void AddTimes(string what, List<double> samples)
    {
        samples.Sort();
        Measured.Add(new(what, samples.Count, samples[samples.Count / 2], samples[samples.Count * 99 / 100], null));
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]{what}: {Measured[^1].P50:0.0} ms, p99 {Measured[^1].P99:0.0} ms[/]");
    }

    public static void AddRate(string what, double rate)
    {
        Measured.Add(new(what, 1, 0, 0, rate));
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]{what}: {rate:0}[/]");
    }

    public static void Print()
    {
        var times = new Table().AddColumns("", "times", "p50 ms", "in COMMITs", "p99 ms", "in COMMITs");
        foreach (var row in Measured.Where(row => row.PerSecond is null))
        {
            times.AddRow(row.What, Text(row.Samples, "0"), Text(row.P50, "0.00"), Text(row.P50 / _commit, "0"), Text(row.P99, "0.00"), Text(row.P99 / _commit, "0"));
        }

        AnsiConsole.Write(times);
        var rates = new Table().AddColumns("", "a second", "per COMMIT");
        foreach (var row in Measured.Where(row => row.PerSecond is not null))
        {
            rates.AddRow(row.What, Text(row.PerSecond!.Value, "0"), Text(row.PerSecond.Value * _commit / 1000, "0.00"));
        }

        AnsiConsole.Write(rates);

        static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
    }

    internal sealed record Row(string What, int Samples, double P50, double P99, double? PerSecond);
}
