using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Security;

/// <summary>Marks endpoints as internal.</summary>
public static class InternalTokenExtensions
{
    /// <summary>Answers 401 to callers that don't show an accepted <c>X-Internal-Token</c>, before anything of the request is read.</summary>
    public static TBuilder RequireInternalToken<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(InternalTokenRequired.Instance);

    /// <summary>Whether the caller showed an accepted internal token, which is what makes its deadline and attempt headers credible.</summary>
    public static bool IsInternalCaller(this HttpContext context)
    {
        var presented = context.Request.Headers[InternalTokens.HeaderName];
        return presented.Count == 1 && context.RequestServices.GetRequiredService<InternalTokens>().Accepts(presented[0]);
    }
}

internal sealed class InternalTokenRequired
{
    public static readonly InternalTokenRequired Instance = new();
}

internal sealed class InternalTokenMiddleware(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint()?.Metadata.GetMetadata<InternalTokenRequired>() is null || context.IsInternalCaller())
        {
            return next(context);
        }

        context.Response.Headers.WWWAuthenticate = InternalTokens.HeaderName;
        return Problem.Unauthorized("This endpoint is internal: it takes calls from the platform's own services only.").ExecuteAsync(context);
    }
}
