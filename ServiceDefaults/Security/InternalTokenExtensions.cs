using Microsoft.AspNetCore.Authorization;
using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Security;

/// <summary>Marks endpoints as internal.</summary>
public static class InternalTokenExtensions
{
    /// <summary>Answers 401 to callers that don't show an accepted <c>X-Internal-Token</c>, before anything of the request is read.</summary>
    public static TBuilder RequireInternalToken<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(InternalTokenRequired.Instance);

    /// <summary>Whether the endpoint is one of those.</summary>
    public static bool RequiresInternalToken(this Endpoint endpoint) => endpoint.Metadata.GetMetadata<InternalTokenRequired>() is not null;

    /// <summary>Whether the caller showed an accepted internal token, which is what makes its deadline and attempt headers credible.</summary>
    public static bool IsInternalCaller(this HttpContext context)
    {
        var presented = context.Request.Headers[InternalTokens.HeaderName];
        return presented.Count == 1 && context.RequestServices.GetRequiredService<InternalTokens>().Accepts(presented[0]);
    }
}

/// <summary>Anonymous for ASP.NET Core's authorization: who shows the token has no other name, and who doesn't comes no further than <see cref="InternalTokenMiddleware"/>.</summary>
internal sealed class InternalTokenRequired : IAllowAnonymous
{
    public static readonly InternalTokenRequired Instance = new();
}

internal sealed class InternalTokenMiddleware(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint()?.RequiresInternalToken() != true || context.IsInternalCaller())
        {
            return next(context);
        }

        context.Response.Headers.WWWAuthenticate = InternalTokens.HeaderName;
        return Problem.Unauthorized("This endpoint is internal: it takes calls from the platform's own services only.").ExecuteAsync(context);
    }
}
