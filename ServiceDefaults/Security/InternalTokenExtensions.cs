using Microsoft.AspNetCore.Authorization;
using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Security;

/// <summary>Marks endpoints as internal.</summary>
public static class InternalTokenExtensions
{
    /// <summary>Answers 401 to callers without a valid <c>X-Internal-Token</c>, before the body is read.</summary>
    public static TBuilder RequireInternalToken<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new InternalTokenRequired());

    /// <summary>Whether the caller sent a valid internal token, so that its deadline and attempt headers can be trusted.</summary>
    public static bool IsInternalCaller(this HttpContext context)
    {
        var presented = context.Request.Headers[InternalTokens.HeaderName];
        return presented.Count == 1 && context.RequestServices.GetRequiredService<InternalTokens>().Accepts(presented[0]);
    }
}

/// <summary>Marks internal endpoints. Anonymous for ASP.NET Core's authorization, because <see cref="InternalTokenMiddleware"/> has already rejected callers without the token.</summary>
internal sealed class InternalTokenRequired : IAllowAnonymous;

internal sealed class InternalTokenMiddleware(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint()?.Metadata.GetMetadata<InternalTokenRequired>() is null || context.IsInternalCaller())
        {
            return next(context);
        }

        context.Response.Headers.WWWAuthenticate = InternalTokens.HeaderName;
        return Problem.Unauthorized("This endpoint is internal: only the platform's own services may call it.").ExecuteAsync(context);
    }
}
