using Microsoft.AspNetCore.Http.HttpResults;
using Platform.Backend.Console.Pages;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Paging;

namespace Platform.Backend.Console;

/// <summary>The administrators' page for owners.</summary>
internal static class OwnerPages
{
    private const int OwnersOnPage = 50;

    public static async Task<IResult> List([AsParameters] PageQuery query, string? said, ListOwners list, CancellationToken cancellationToken)
    {
        if (!query.TryRead<Guid?>(out var after, out var limit, out var problem))
            return problem;

        return new PageResult<OwnersPage>(new()
        {
            [nameof(OwnersPage.Owners)] = await list.ExecuteAsync(after, query.Limit is null ? OwnersOnPage : limit, cancellationToken),
            [nameof(OwnersPage.IsFirst)] = after is null,
            [nameof(OwnersPage.Made)] = said == "made",
        });
    }

    public static async Task<IResult> Make(HttpRequest request, MakeOwner make, ListOwners list, CancellationToken cancellationToken)
    {
        var name = (await request.ReadFormAsync(cancellationToken))["name"].ToString();
        var result = (await make.ExecuteAsync(new() { Name = name }, cancellationToken)).Result;
        if (result is not ValidationProblem invalid)
            return result;

        return new PageResult<OwnersPage>(
            new()
            {
                [nameof(OwnersPage.Owners)] = await list.ExecuteAsync(null, OwnersOnPage, cancellationToken),
                [nameof(OwnersPage.IsFirst)] = true,
                [nameof(OwnersPage.Name)] = name,
                [nameof(OwnersPage.Errors)] = (IReadOnlyList<string>)invalid.ProblemDetails.Errors["name"],
            },
            StatusCodes.Status400BadRequest);
    }
}
