namespace Platform.ServiceDefaults.Paging;

/// <summary>One page of a list. <paramref name="NextCursor"/> gets the next page; absent on the last.</summary>
public sealed record Page<T>(IReadOnlyList<T> Items, string? NextCursor = null);

/// <summary>Creates pages.</summary>
public static class Page
{
    /// <summary>
    /// Creates a page from up to <paramref name="limit"/> + 1 rows: the extra row only shows that there are more. <paramref name="key"/> is a row's sort key.
    /// </summary>
    public static Page<T> Of<T, TKey>(IReadOnlyList<T> rows, int limit, Func<T, TKey> key) =>
        rows.Count <= limit ? new(rows, null) : new([.. rows.Take(limit)], Cursor.Encode(key(rows[limit - 1])));
}
