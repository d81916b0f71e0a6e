using System.Globalization;
using Microsoft.Extensions.Options;
using Platform.Backend.Console.Pages;

namespace Platform.Backend.Console;

/// <summary>Renders problems as HTML for people; programs get <c>application/problem+json</c>.</summary>
internal sealed class ProblemPageWriter(IOptions<ProblemDetailsOptions> options) : IProblemDetailsWriter
{
    public bool CanWrite(ProblemDetailsContext context) => IsForPerson(context.HttpContext.Request);

    /// <summary>Whether the response is for a person: the request accepts HTML and is not for <c>/api</c>.</summary>
    public static bool IsForPerson(HttpRequest request) =>
        !request.Path.StartsWithSegments("/api", StringComparison.OrdinalIgnoreCase)
        && !request.Path.StartsWithSegments("/v1/api", StringComparison.OrdinalIgnoreCase)
        && request.GetTypedHeaders().Accept.Any(type => type.MediaType.Equals("text/html", StringComparison.OrdinalIgnoreCase));

    public async ValueTask WriteAsync(ProblemDetailsContext context)
    {
        var (request, response) = (context.HttpContext.Request, context.HttpContext.Response);
        options.Value.CustomizeProblemDetails?.Invoke(context);
        ConsolePages.Protect(response);
        await new PageResult<ProblemPage>(
            new()
            {
                [nameof(ProblemPage.Problem)] = context.ProblemDetails,
                [nameof(ProblemPage.Address)] = request.PathBase + request.Path + request.QueryString,
                [nameof(ProblemPage.IsForm)] = HttpMethods.IsPost(request.Method),
                [nameof(ProblemPage.RetryAfter)] = long.TryParse(response.Headers.RetryAfter, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) ? seconds : null,
                [nameof(ProblemPage.Shop)] = response.StatusCode != StatusCodes.Status404NotFound ? ShopOf(request.Path) : null,
            },
            response.StatusCode).ExecuteAsync(context.HttpContext);
    }

    private static string? ShopOf(PathString path) =>
        path.Value!.Split('/') is ["", "shops", var id, _, ..] && Guid.TryParse(id, out var shop) ? $"/shops/{shop}" : null;
}
