using System.Collections.ObjectModel;
using Microsoft.AspNetCore.Http.HttpResults;
using Platform.Backend.Console.Pages;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Paging;

namespace Platform.Backend.Console;

/// <summary>The administrators' pages for API keys.</summary>
internal static class KeyPages
{
    private const int KeysOnPage = 50;

    public static async Task<IResult> List([AsParameters] PageQuery query, string? said, ListApiKeys list, CancellationToken cancellationToken)
    {
        if (!query.TryRead<Guid?>(out var after, out var limit, out var problem))
            return problem;

        return new PageResult<KeysPage>(new()
        {
            [nameof(KeysPage.Keys)] = await list.ExecuteAsync(after, query.Limit is null ? KeysOnPage : limit, cancellationToken),
            [nameof(KeysPage.IsFirst)] = after is null,
            [nameof(KeysPage.Revoked)] = said == "revoked",
        });
    }

    public static async Task<IResult> New(Guid? owner, ListOwners owners, CancellationToken cancellationToken) =>
        await FormPageAsync(new KeyForm { Owner = owner?.ToString() ?? "" }, owners, cancellationToken);

    public static async Task<IResult> Make(HttpRequest request, MakeApiKey make, ListOwners owners, TimeProvider time, CancellationToken cancellationToken)
    {
        var form = KeyForm.Read(await request.ReadFormAsync(cancellationToken));
        switch ((await make.ExecuteAsync(form.ToKey(time.GetUtcNow()), cancellationToken)).Result)
        {
            case ValidationProblem invalid:
                form.Errors = invalid.ProblemDetails.Errors.AsReadOnly();
                return await FormPageAsync(form, owners, cancellationToken);
            case Created<MadeApiKey> { Value: { } made }:
                return new PageResult<KeyMadePage>(new() { [nameof(KeyMadePage.Made)] = made });
            case var result:
                return result;
        }
    }

    public static async Task<IResult> ConfirmRevoke(Guid id, FindApiKey find, CancellationToken cancellationToken) =>
        await find.ExecuteAsync(id, cancellationToken) is { } key
            ? new PageResult<RevokeKeyPage>(new() { [nameof(RevokeKeyPage.Key)] = key })
            : OwnerProblems.NoKey(id);

    public static async Task<IResult> Revoke(Guid id, RevokeApiKey revoke, CancellationToken cancellationToken) =>
        (await revoke.ExecuteAsync(id, TypedResults.Ok(new { revoked = true }), cancellationToken)).Result;

    private static async Task<IResult> FormPageAsync(KeyForm form, ListOwners owners, CancellationToken cancellationToken) => new PageResult<NewKeyPage>(
        new()
        {
            [nameof(NewKeyPage.Form)] = form,
            [nameof(NewKeyPage.Owners)] = (await owners.ExecuteAsync(null, PageQuery.MaxLimit, cancellationToken)).Items,
        },
        form.Errors.Count > 0 ? StatusCodes.Status400BadRequest : StatusCodes.Status200OK);
}

/// <summary>The form for a new key, as it was filled in.</summary>
public sealed class KeyForm
{
    /// <summary>Stands in place of an owner's id: create an owner along with the key.</summary>
    public const string NewOwner = "new";

    /// <summary>Days until the key expires, with their labels; empty for never.</summary>
    public static readonly IReadOnlyList<(string Days, string Label)> Lengths = [("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "No expiry")];

    public string Name { get; init; } = "";

    public string Scope { get; init; } = Scopes.Deploy;

    public string Owner { get; init; } = "";

    public string OwnerName { get; init; } = "";

    public string Days { get; init; } = "365";

    /// <summary>Violated rules by field.</summary>
    public IReadOnlyDictionary<string, string[]> Errors { get; set; } = ReadOnlyDictionary<string, string[]>.Empty;

    public static KeyForm Read(IFormCollection sent) => new()
    {
        Name = sent["name"].ToString(),
        Scope = sent["scopes"].ToString(),
        Owner = sent["ownerId"].ToString(),
        OwnerName = sent["owner.name"].ToString(),
        Days = sent["expiresAt"].ToString(),
    };

    public NewApiKey ToKey(DateTimeOffset now) => new()
    {
        Name = Name,
        Scopes = [Scope],
        // A malformed id is rejected like that of an unknown owner.
        OwnerId = Owner == NewOwner ? null : Guid.TryParse(Owner, out var owner) ? owner : Guid.Empty,
        Owner = Owner == NewOwner ? new() { Name = OwnerName } : null,
        ExpiresAt = Lengths.Any(length => length.Days == Days && Days.Length > 0) ? now.AddDays(int.Parse(Days, System.Globalization.CultureInfo.InvariantCulture)) : null,
    };

    public IReadOnlyList<string> ErrorsOf(string field) => Errors.GetValueOrDefault(field, []);
}
