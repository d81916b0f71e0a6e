using System.Diagnostics;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.WebUtilities;
using Platform.ServiceDefaults.Correlation;

namespace Platform.ServiceDefaults.Problems;

/// <summary>Creates RFC 9457 problems with the <c>traceId</c> and <c>correlationId</c> of the current request.</summary>
public static class Problem
{
    /// <summary>400 for a request that is invalid as a whole; for fields use <see cref="ValidationErrors"/>.</summary>
    public static ProblemHttpResult BadRequest(string detail) => Of(StatusCodes.Status400BadRequest, detail);

    /// <summary>401.</summary>
    public static ProblemHttpResult Unauthorized(string detail) => Of(StatusCodes.Status401Unauthorized, detail);

    /// <summary>403.</summary>
    public static ProblemHttpResult Forbidden(string detail) => Of(StatusCodes.Status403Forbidden, detail);

    /// <summary>404.</summary>
    public static ProblemHttpResult NotFound(string detail) => Of(StatusCodes.Status404NotFound, detail);

    /// <summary>409.</summary>
    public static ProblemHttpResult Conflict(string detail) => Of(StatusCodes.Status409Conflict, detail);

    /// <summary>412: <c>If-Match</c> doesn't match the current version.</summary>
    public static ProblemHttpResult PreconditionFailed(string detail) => Of(StatusCodes.Status412PreconditionFailed, detail);

    /// <summary>413.</summary>
    public static ProblemHttpResult TooLarge(string detail) => Of(StatusCodes.Status413PayloadTooLarge, detail);

    /// <summary>415.</summary>
    public static ProblemHttpResult UnsupportedMediaType(string detail) => Of(StatusCodes.Status415UnsupportedMediaType, detail);

    /// <summary>422.</summary>
    public static ProblemHttpResult Unprocessable(string detail) => Of(StatusCodes.Status422UnprocessableEntity, detail);

    /// <summary>428: the request must have an <c>If-Match</c>.</summary>
    public static ProblemHttpResult PreconditionRequired(string detail) => Of(StatusCodes.Status428PreconditionRequired, detail);

    /// <summary>409 with <c>Retry-After</c>, for a conflict that will resolve itself.</summary>
    public static RetryableProblem Conflict(string detail, TimeSpan retryAfter) => new(Conflict(detail), retryAfter);

    /// <summary>429 with <c>Retry-After</c>.</summary>
    public static RetryableProblem TooManyRequests(string detail, TimeSpan retryAfter) => new(Of(StatusCodes.Status429TooManyRequests, detail), retryAfter);

    /// <summary>503 with <c>Retry-After</c>.</summary>
    public static RetryableProblem Unavailable(string detail, TimeSpan retryAfter) =>
        new(Of(StatusCodes.Status503ServiceUnavailable, detail), retryAfter);

    /// <summary>A problem with any status.</summary>
    public static ProblemHttpResult Of(int status, string detail) => TypedResults.Problem(new ProblemDetails
    {
        Status = status,
        Title = TitleOf(status),
        Type = TypeOf(status),
        Detail = detail,
        Extensions = Extensions(),
    });

    internal static string TitleOf(int status) => ReasonPhrases.GetReasonPhrase(status) is { Length: > 0 } phrase ? phrase : "Error";

    internal static string TypeOf(int status) => status switch
    {
        StatusCodes.Status422UnprocessableEntity => "https://datatracker.ietf.org/doc/html/rfc9110#section-15.5.21",
        StatusCodes.Status428PreconditionRequired => "https://datatracker.ietf.org/doc/html/rfc6585#section-3",
        StatusCodes.Status429TooManyRequests => "https://datatracker.ietf.org/doc/html/rfc6585#section-4",
        >= 400 and <= 417 => $"https://datatracker.ietf.org/doc/html/rfc9110#section-15.5.{status - 399}",
        >= 500 and <= 505 => $"https://datatracker.ietf.org/doc/html/rfc9110#section-15.6.{status - 499}",
        _ => "about:blank",
    };

    internal static Dictionary<string, object?> Extensions()
    {
        var extensions = new Dictionary<string, object?>(StringComparer.Ordinal);
        if (Activity.Current?.TraceId.ToString() is { } traceId)
        {
            extensions["traceId"] = traceId;
        }

        if (CorrelationContext.Current is { } correlationId)
        {
            extensions["correlationId"] = correlationId;
        }

        return extensions;
    }
}

/// <summary>A problem with <c>Retry-After</c> in whole seconds, at least 1.</summary>
public sealed class RetryableProblem : IResult, IStatusCodeHttpResult
{
    private readonly ProblemHttpResult _problem;
    private readonly TimeSpan _retryAfter;

    internal RetryableProblem(ProblemHttpResult problem, TimeSpan retryAfter) => (_problem, _retryAfter) = (problem, retryAfter);

    /// <inheritdoc />
    public int? StatusCode => _problem.StatusCode;

    /// <inheritdoc />
    public Task ExecuteAsync(HttpContext httpContext)
    {
        httpContext.Response.Headers.RetryAfter =
            Math.Max(1, (long)Math.Ceiling(_retryAfter.TotalSeconds)).ToString(System.Globalization.CultureInfo.InvariantCulture);
        return _problem.ExecuteAsync(httpContext);
    }
}
