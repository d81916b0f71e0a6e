using System.Globalization;

namespace Platform.Drill;

/// <summary>The command line's options.</summary>
/// <param name="Seed">The seed of the first schedule; the others have the following numbers.</param>
/// <param name="Schedules">The number of schedules.</param>
/// <param name="Systems">How many independent systems run them in parallel.</param>
/// <param name="KeepGoing">Whether to continue after a violation.</param>
/// <param name="From">The folder of a built checkout of another version. Schedules then contain rolling updates between the two versions instead of faults.</param>
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
