namespace Platform.ServiceDefaults.Correlation;

/// <summary>The correlation id of the work in hand: of the HTTP request, or of the message or job that a worker took up.</summary>
public static class CorrelationContext
{
    /// <summary>The header that carries the id between services and back to the caller.</summary>
    public const string HeaderName = "X-Correlation-ID";

    /// <summary>Longest id that is taken from a caller, in characters.</summary>
    public const int MaxLength = 128;

    private static readonly AsyncLocal<string?> Ambient = new();

    /// <summary>The id of the work in hand, or null outside any.</summary>
    public static string? Current => Ambient.Value;

    /// <summary>Makes <paramref name="id"/> the current id until the returned object is disposed.</summary>
    public static IDisposable Begin(string id)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        var scope = new Scope(Ambient.Value);
        Ambient.Value = id;
        return scope;
    }

    /// <summary>A new id: a UUIDv7 without dashes, so that ids sort by time in a log store.</summary>
    public static string NewId() => Guid.CreateVersion7().ToString("n");

    /// <summary>Whether <paramref name="id"/> may be taken from a caller: 1 to 128 of A-Z a-z 0-9 . _ - : which no log or header can misread.</summary>
    public static bool IsValid(string? id)
    {
        if (id is not { Length: > 0 and <= MaxLength })
        {
            return false;
        }

        foreach (var c in id)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('.' or '_' or '-' or ':'))
            {
                return false;
            }
        }

        return true;
    }

    private sealed class Scope(string? previous) : IDisposable
    {
        public void Dispose() => Ambient.Value = previous;
    }
}
