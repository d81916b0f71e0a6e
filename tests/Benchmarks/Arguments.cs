using System.Globalization;

namespace Platform.Benchmarks;

/// <summary>The command line's options, which are all whole numbers. Unknown options are an error, so that a misspelt one is not silently replaced by its default.</summary>
internal sealed class Arguments(string[] args)
{
    private readonly List<string> _unread = [.. args];
    private readonly List<string> _errors = [];

    /// <summary>The option's value; <paramref name="defaultValue"/> if it is absent or invalid.</summary>
    public int Read(string name, int defaultValue, int min = 1)
    {
        if (_unread.IndexOf(name) is not (>= 0 and var at))
        {
            return defaultValue;
        }

        var isValid = int.TryParse(_unread.ElementAtOrDefault(at + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= min;
        _unread.RemoveRange(at, Math.Min(2, _unread.Count - at));
        if (isValid)
        {
            return value;
        }

        _errors.Add($"{name} must be a whole number of at least {min}.");
        return defaultValue;
    }

    /// <summary>Prints the errors. Must be called after all options were read.</summary>
    public bool AreValid()
    {
        _errors.AddRange(_unread.Select(option => $"There is no option '{option}'; see ./bench --help."));
        _errors.ForEach(Console.Error.WriteLine);
        return _errors.Count == 0;
    }
}
