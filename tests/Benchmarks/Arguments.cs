using System.Globalization;

namespace Platform.Benchmarks;

/// <summary>The options of the command line, each a whole number. One that nobody reads is an error: a misspelt option must not be taken for its default.</summary>
internal sealed class Arguments(string[] args)
{
    private readonly List<string> _left = [.. args];
    private readonly List<string> _errors = [];

    /// <summary>The option's value; <paramref name="standard"/> where it is absent, or is not a number of at least <paramref name="least"/>.</summary>
    public int Read(string name, int standard, int least = 1)
    {
        if (_left.IndexOf(name) is not (>= 0 and var at))
        {
            return standard;
        }

        var isSound = int.TryParse(_left.ElementAtOrDefault(at + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= least;
        _left.RemoveRange(at, Math.Min(2, _left.Count - at));
        if (isSound)
        {
            return value;
        }

        _errors.Add($"{name} wants a whole number of at least {least}.");
        return standard;
    }

    /// <summary>To be called when all have been read: says what was wrong.</summary>
    public bool AreSound()
    {
        _errors.AddRange(_left.Select(left => $"There is no option '{left}'; ./bench --help names them."));
        _errors.ForEach(Console.Error.WriteLine);
        return _errors.Count == 0;
    }
}
