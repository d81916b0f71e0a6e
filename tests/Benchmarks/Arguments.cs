using System.Globalization;

namespace Platform.Benchmarks;

internal static class Arguments
{
    public static bool TryRead(string[] args, string name, int standard, out int value, int least = 1)
    {
        var at = Array.IndexOf(args, name);
        value = standard;
        if (at < 0 || (at + 1 < args.Length && int.TryParse(args[at + 1], NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= least))
        {
            return true;
        }

        Console.Error.WriteLine($"{name} wants a whole number of at least {least}.");
        return false;
    }
}
