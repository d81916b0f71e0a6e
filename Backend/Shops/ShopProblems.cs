using Microsoft.AspNetCore.Http.HttpResults;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Problems that several endpoints return.</summary>
internal static class ShopProblems
{
    public static ProblemHttpResult NotFound(Guid id) => Problem.NotFound($"There is no shop '{id}'.");

    public static ProblemHttpResult BeingDeleted() => Problem.Conflict("The shop is being deleted.");

    public static ProblemHttpResult ChangedMeanwhile() =>
        Problem.PreconditionFailed("The shop was changed since you read it: read it again, and send its ETag as If-Match.");
}
