using System.Security.Claims;

namespace Platform.Backend.Owners;

/// <summary>Who has shops.</summary>
/// <param name="Id">The owner's id.</param>
/// <param name="Name">How the owner is called.</param>
/// <param name="CreatedAt">When the owner was made, UTC.</param>
/// <param name="Shops">How many shops the owner has.</param>
/// <param name="Keys">How many keys the owner has that are neither revoked nor expired.</param>
/// <param name="Issuer">The OpenID Connect provider that the owner signs in with; absent for one that an administrator made.</param>
public sealed record Owner(Guid Id, string Name, DateTimeOffset CreatedAt, int Shops, int Keys, string? Issuer = null)
{
    /// <summary>The owner of the administrator's key, and of what was made before there were owners.</summary>
    internal static readonly Guid Administrator = new("00000000-0000-7000-8000-000000000001");
}

/// <summary>A new owner.</summary>
public sealed record NewOwner
{
    /// <summary>1–100 characters.</summary>
    public required string Name { get; init; }
}

/// <summary>Who makes the request in hand. What it reads and changes of shops and deployments goes through <see cref="OnlyOf"/>.</summary>
/// <param name="OwnerId">The owner that new shops belong to.</param>
/// <param name="IsAdministrator">Whether the caller may do everything, with the shops of all owners.</param>
internal sealed record Caller(Guid OwnerId, bool IsAdministrator)
{
    /// <summary>The owner whose shops the caller sees, or null for all.</summary>
    public Guid? OnlyOf => IsAdministrator ? null : OwnerId;

    /// <exception cref="InvalidOperationException">The request's endpoint asks for no scope, so nobody need have signed in.</exception>
    public static Caller Of(ClaimsPrincipal user) => user.FindFirstValue(ClaimTypes.NameIdentifier) is { } id
        ? new(Guid.Parse(id), user.HasScope(Scopes.Admin))
        : throw new InvalidOperationException("The request has no owner: its endpoint needs a scope.");
}
