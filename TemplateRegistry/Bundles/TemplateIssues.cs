using System.Globalization;

namespace Platform.Templates;

/// <summary>A problem with a bundle: in which entry, on which line if known, and the reason.</summary>
internal sealed record TemplateIssue(string Entry, int? Line, string Reason)
{
    /// <summary>The reason, worded to follow the entry's name.</summary>
    public override string ToString() => Line is { } line ? $"line {line.ToString(CultureInfo.InvariantCulture)}: {Reason}" : Reason;
}

/// <summary>Collects the issues of a bundle. Only the first hundred are kept; further ones are counted.</summary>
internal sealed class TemplateIssues
{
    private const int MaxItems = 100;
    private readonly List<TemplateIssue> _items = [];

    public IReadOnlyList<TemplateIssue> Items => _items;

    public bool Any => Count > 0;

    /// <summary>How many there are, including those not kept.</summary>
    public int Count { get; private set; }

    public void Add(string entry, string reason) => Add(entry, null, reason);

    public void Add(string entry, int? line, string reason)
    {
        Count++;
        if (_items.Count < MaxItems)
            _items.Add(new(entry, line, reason));
    }
}
