namespace Platform.ServiceDefaults.Paging;

/// <summary>One page of a list. <paramref name="NextCursor"/> asks for the next one and is absent on the last.</summary>
public sealed record Page<T>(IReadOnlyList<T> Items, string? NextCursor = null);

/// <summary>Makes pages.</summary>
public static class Page
{
    /// <summary>
    /// Makes a page from up to <paramref name="limit"/> + 1 rows: the extra row only says that there is more.
    /// The cursor is made from <paramref name="key"/> of the last row kept.
    /// </summary>
    public static Page<T> Of<T, TKey>(IReadOnlyList<T> rows, int limit, Func<T, TKey> key) =>
        rows.Count <= limit ? new(rows, null) : new([.. rows.Take(limit)], Cursor.Encode(key(rows[limit - 1])));
}
