using System.Security.Claims;

namespace Platform.Backend.Owners;

/// <summary>An owner of shops.</summary>
/// <param name="Id">The owner's id.</param>
/// <param name="Name">The owner's name.</param>
/// <param name="CreatedAt">When the owner was created, UTC.</param>
/// <param name="Shops">How many shops the owner has.</param>
/// <param name="Keys">How many valid keys the owner has.</param>
/// <param name="Issuer">The OpenID Connect provider that the owner signs in with; absent if an administrator created the owner.</param>
public sealed record Owner(Guid Id, string Name, DateTimeOffset CreatedAt, int Shops, int Keys, string? Issuer = null)
{
    /// <summary>The owner of the administrator's key, and of everything created before there were owners.</summary>
    internal static readonly Guid Administrator = new("00000000-0000-7000-8000-000000000001");
}

/// <summary>A new owner.</summary>
public sealed record NewOwner
{
    /// <summary>1–100 characters.</summary>
    public required string Name { get; init; }
}

/// <summary>The authenticated caller of the current request. All access to shops and deployments is restricted by <see cref="OnlyOf"/>.</summary>
/// <param name="OwnerId">The owner of shops that the caller creates.</param>
/// <param name="IsAdministrator">Whether the caller has access to the shops of all owners.</param>
internal sealed record Caller(Guid OwnerId, bool IsAdministrator)
{
    /// <summary>The owner whose shops the caller sees, or null for all.</summary>
    public Guid? OnlyOf => IsAdministrator ? null : OwnerId;

    /// <exception cref="InvalidOperationException">The caller is anonymous, because the endpoint requires no scope.</exception>
    public static Caller Of(ClaimsPrincipal user) => user.FindFirstValue(ClaimTypes.NameIdentifier) is { } id
        ? new(Guid.Parse(id), user.HasScope(Scopes.Admin))
        : throw new InvalidOperationException("The caller is anonymous: the endpoint must require a scope.");
}
