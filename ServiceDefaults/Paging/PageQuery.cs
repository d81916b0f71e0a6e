using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Paging;

/// <summary>The query of a list. Bind it with <c>[AsParameters]</c> and validate it with <see cref="TryRead{TKey}"/>.</summary>
/// <param name="Cursor">The <c>nextCursor</c> of the previous page; absent for the first page.</param>
/// <param name="Limit">How many items to return, 1 to 100; 20 when absent.</param>
public sealed record PageQuery([FromQuery(Name = "cursor")] string? Cursor, [FromQuery(Name = "limit")] int? Limit)
{
    /// <summary>Default number of items on a page.</summary>
    public const int DefaultLimit = 20;

    /// <summary>Maximum number of items on a page.</summary>
    public const int MaxLimit = 100;

    /// <summary>Validates both values. <paramref name="after"/> is the sort key of the previous page's last row, or default for the first page.</summary>
    public bool TryRead<TKey>(out TKey? after, out int limit, [NotNullWhen(false)] out ValidationProblem? problem)
    {
        var errors = new ValidationErrors();
        after = default;
        limit = Limit ?? DefaultLimit;
        if (limit is < 1 or > MaxLimit)
        {
            errors.Add("limit", $"must be between 1 and {MaxLimit}");
        }

        if (!string.IsNullOrEmpty(Cursor))
        {
            if (Paging.Cursor.TryDecode<TKey>(Cursor, out var key))
            {
                after = key;
            }
            else
            {
                errors.Add("cursor", "must be the nextCursor of an earlier page of this list");
            }
        }

        problem = errors.Any ? errors.ToResult() : null;
        return problem is null;
    }
}
