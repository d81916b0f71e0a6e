using System.Security.Claims;
using Microsoft.AspNetCore.Authorization;
using Platform.Backend.Console;

namespace Platform.Backend.Owners;

/// <summary>What a key may be used for. Each scope holds those before it.</summary>
internal static class Scopes
{
    /// <summary>Reads of one's shops and deployments, of templates and of the status.</summary>
    public const string Read = "read";

    /// <summary>And everything that changes one's shops and deployments.</summary>
    public const string Deploy = "deploy";

    /// <summary>And everything else: keys, owners, publishing templates, the shops and dead letters of all.</summary>
    public const string Admin = "admin";

    public const string ClaimType = "scope";

    public static readonly IReadOnlyList<string> All = [Read, Deploy, Admin];

    /// <summary>The scopes and those that they hold.</summary>
    public static IEnumerable<string> Expand(IReadOnlyList<string> scopes) => All.Where((_, index) => All.Skip(index).Any(scopes.Contains));

    public static bool HasScope(this ClaimsPrincipal user, string scope) => user.HasClaim(ClaimType, scope);

    /// <summary>Answers 401 to callers without a valid key, and 403 to those whose key has not the scope.</summary>
    public static TBuilder RequireScope<TBuilder>(this TBuilder builder, string scope) where TBuilder : IEndpointConventionBuilder =>
        builder.RequireAuthorization(scope);

    public static void AddScopePolicies(this AuthorizationOptions options)
    {
        foreach (var scope in All)
            options.AddPolicy(scope, policy => policy.RequireAuthenticatedUser().RequireClaim(ClaimType, scope).AddRequirements(new OnlyFormsBySession()));

        // an endpoint that says nothing is closed
        options.FallbackPolicy = new AuthorizationPolicyBuilder().RequireAuthenticatedUser().AddRequirements(new OnlyFormsBySession()).Build();
    }
}

/// <summary>
/// A browser sends its session along whoever wrote the page that makes it. So a session changes something by the console's forms only, which prove where they come from;
/// what else changes something wants a key.
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
