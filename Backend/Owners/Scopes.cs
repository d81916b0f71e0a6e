using System.Security.Claims;
using Microsoft.AspNetCore.Authorization;
using Platform.Backend.Console;

namespace Platform.Backend.Owners;

/// <summary>The scopes of keys. Each includes those before it.</summary>
internal static class Scopes
{
    /// <summary>Reading the owner's shops and deployments, templates and the status.</summary>
    public const string Read = "read";

    /// <summary>Changing the owner's shops and deployments.</summary>
    public const string Deploy = "deploy";

    /// <summary>Everything else: keys, owners, publishing templates, and the shops and dead letters of all owners.</summary>
    public const string Admin = "admin";

    public const string ClaimType = "scope";

    public static readonly IReadOnlyList<string> All = [Read, Deploy, Admin];

    /// <summary>The scopes and those that they include.</summary>
    public static IEnumerable<string> Expand(IReadOnlyList<string> scopes) => All.Where((_, index) => All.Skip(index).Any(scopes.Contains));

    public static bool HasScope(this ClaimsPrincipal user, string scope) => user.HasClaim(ClaimType, scope);

    /// <summary>Answers 401 to callers without a valid key, and 403 to those whose key lacks the scope.</summary>
    public static TBuilder RequireScope<TBuilder>(this TBuilder builder, string scope) where TBuilder : IEndpointConventionBuilder =>
        builder.RequireAuthorization(scope);

    public static void AddScopePolicies(this AuthorizationOptions options)
    {
        foreach (var scope in All)
            options.AddPolicy(scope, policy => policy.RequireAuthenticatedUser().RequireClaim(ClaimType, scope).AddRequirements(new OnlyFormsBySession()));

        // Endpoints that declare no policy require an authenticated user.
        options.FallbackPolicy = new AuthorizationPolicyBuilder().RequireAuthenticatedUser().AddRequirements(new OnlyFormsBySession()).Build();
    }
}

/// <summary>
/// Prevents cross-site request forgery: browsers send the session cookie also with requests that other sites cause. So a session may make changes only through the
/// console's forms, which carry an antiforgery token; all other changes need a key.
/// </summary>
internal sealed class OnlyFormsBySession : AuthorizationHandler<OnlyFormsBySession>, IAuthorizationRequirement
{
    protected override Task HandleRequirementAsync(AuthorizationHandlerContext context, OnlyFormsBySession requirement)
    {
        if (context.User.Identity?.AuthenticationType != Sessions.Scheme
            || context.Resource is HttpContext http && (IsSafe(http.Request.Method) || http.GetEndpoint()?.Metadata.GetMetadata<ConsoleForms>() is not null))
        {
            context.Succeed(requirement);
        }

        return Task.CompletedTask;
    }

    private static bool IsSafe(string method) => HttpMethods.IsGet(method) || HttpMethods.IsHead(method);
}
