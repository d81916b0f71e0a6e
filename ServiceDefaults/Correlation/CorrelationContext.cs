using System.Buffers;

namespace Platform.ServiceDefaults.Correlation;

/// <summary>The correlation id of the current request, message or job.</summary>
public static class CorrelationContext
{
    /// <summary>The header that carries the id between services and back to the caller.</summary>
    public const string HeaderName = "X-Correlation-ID";

    /// <summary>Maximum length of a caller's id.</summary>
    public const int MaxLength = 128;

    private static readonly SearchValues<char> Allowed = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:");
    private static readonly AsyncLocal<string?> Ambient = new();

    /// <summary>The current id, or null.</summary>
    public static string? Current => Ambient.Value;

    /// <summary>Makes <paramref name="id"/> the current id until the returned object is disposed.</summary>
    public static IDisposable Begin(string id)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        var scope = new Scope(Ambient.Value);
        Ambient.Value = id;
        return scope;
    }

    /// <summary>Creates an id: a UUIDv7 without dashes, so that ids sort by time.</summary>
    public static string NewId() => Guid.CreateVersion7().ToString("n");

    /// <summary>Whether an id from a caller is safe in logs and headers: 1 to 128 characters of A-Z a-z 0-9 . _ - :</summary>
    public static bool IsValid(string? id) => id is { Length: > 0 and <= MaxLength } && !id.AsSpan().ContainsAnyExcept(Allowed);

    private sealed class Scope(string? previous) : IDisposable
    {
        public void Dispose() => Ambient.Value = previous;
    }
}
