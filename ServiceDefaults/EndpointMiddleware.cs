namespace Platform.ServiceDefaults;

/// <summary>
/// Endpoint metadata that wraps the endpoint before its parameters are bound and its body is read. Endpoint filters run after both.
/// </summary>
public interface IEndpointMiddleware
{
    /// <summary>Handles the request, usually by calling <paramref name="next"/>.</summary>
    Task InvokeAsync(HttpContext context, RequestDelegate next);
}

internal sealed class EndpointMiddlewareRunner(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext context)
    {
        var steps = context.GetEndpoint()?.Metadata.GetOrderedMetadata<IEndpointMiddleware>();
        return steps is not { Count: > 0 } ? next(context) : RunAsync(context, steps, 0);
    }

    private Task RunAsync(HttpContext context, IReadOnlyList<IEndpointMiddleware> steps, int index) =>
        index == steps.Count ? next(context) : steps[index].InvokeAsync(context, inner => RunAsync(inner, steps, index + 1));
}
