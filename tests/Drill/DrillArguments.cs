using System.Globalization;

namespace Platform.Drill;

/// <summary>What the command line says.</summary>
/// <param name="Seed">The first schedule's seed; each further one has the next.</param>
/// <param name="Schedules">How many.</param>
/// <param name="Systems">How many systems, each whole and for itself, share them.</param>
/// <param name="KeepGoing">Whether a violation does not end it.</param>
/// <param name="From">A checkout of another version, built: instead of faults, each schedule gets a rolling update from one version to the other, and the next one back.</param>
internal sealed record DrillArguments(int Seed, int Schedules, int Systems, bool KeepGoing, string? From)
{
    public static bool TryRead(string[] args, out DrillArguments arguments)
    {
        arguments = new(1, 10, 1, KeepGoing: false, From: null);
        for (var n = 0; n < args.Length; n++)
        {
            if (args[n] == "--keep-going")
            {
                arguments = arguments with { KeepGoing = true };
                continue;
            }

            if (args[n] == "--from" && n + 1 < args.Length)
            {
                arguments = arguments with { From = Path.GetFullPath(args[++n]) };
                continue;
            }

            if (n + 1 == args.Length || !int.TryParse(args[n + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var value))
                return false;
            switch (args[n++])
            {
                case "--seed":
                    arguments = arguments with { Seed = value };
                    break;
                case "--schedules" when value > 0:
                    arguments = arguments with { Schedules = value };
                    break;
                case "--systems" when value is > 0 and <= 16:
                    arguments = arguments with { Systems = value };
                    break;
                default:
                    return false;
            }
        }

        return true;
    }
}
