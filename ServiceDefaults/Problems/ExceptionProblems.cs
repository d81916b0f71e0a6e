using System.Net;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Mvc;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Problems;

/// <summary>Maps exceptions that callers can act on to problems. All others become a 500 without internal details.</summary>
internal sealed partial class ExceptionProblems(ILogger<ExceptionProblems> logger) : IExceptionHandler
{
    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
    {
        switch (exception)
        {
            case BadHttpRequestException bad:
                await Problem.Of(bad.StatusCode, bad.StatusCode switch
                {
                    StatusCodes.Status413PayloadTooLarge => "The request's body is too large.",
                    StatusCodes.Status415UnsupportedMediaType => "The request's body must be JSON, with Content-Type: application/json.",
                    StatusCodes.Status408RequestTimeout => "The request's body did not arrive in time.",
                    // Names the parameter and its value, no internal details.
                    _ => bad.Message,
                }).ExecuteAsync(httpContext);
                return true;

            case DependencyUnavailableException unavailable:
                return await AnswerUnavailableAsync(httpContext, unavailable.Dependency, unavailable.InnerException?.Message, unavailable.RetryAfter);

            case ServiceCallException failed:
                return await AnswerUnavailableAsync(httpContext, failed.Destination, failed.Message, failed.RetryAfter);

            // Thrown by EnsureSuccessStatusCode for a dependency's failure.
            case HttpRequestException { StatusCode: null or HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests or >= HttpStatusCode.InternalServerError } failed:
                return await AnswerUnavailableAsync(httpContext, "A dependency of this service", failed.Message, TimeSpan.FromSeconds(5));

            default:
                return false;
        }
    }

    private async Task<bool> AnswerUnavailableAsync(HttpContext context, string dependency, string? reason, TimeSpan retryAfter)
    {
        LogUnavailable(logger, dependency, context.Request.Path, reason);
        context.Response.Headers[CommunicationHeaders.ShouldRetry] = "false";
        await Problem.Unavailable($"{dependency} does not answer. Try again later.", retryAfter).ExecuteAsync(context);
        return true;
    }

    /// <summary>Adds trace id, correlation id and detail to problems that the framework creates.</summary>
    public static void Complete(ProblemDetailsContext context)
    {
        foreach (var (key, value) in Problem.Extensions())
        {
            context.ProblemDetails.Extensions[key] = value;
        }

        var (request, response) = (context.HttpContext.Request, context.HttpContext.Response);
        if (context.ProblemDetails.Detail is null && response.StatusCode == StatusCodes.Status500InternalServerError)
        {
            context.ProblemDetails.Title = "Something went wrong on our side.";
        }

        context.ProblemDetails.Detail ??= response.StatusCode switch
        {
            StatusCodes.Status404NotFound => $"There is nothing at {request.Path}.",
            StatusCodes.Status405MethodNotAllowed => $"{request.Path} does not take {request.Method}; it takes {response.Headers.Allow}.",
            StatusCodes.Status415UnsupportedMediaType => $"{request.Path} does not take a body of this Content-Type.",
            StatusCodes.Status500InternalServerError => "The request was understood and failed here. The correlation id finds it in the logs.",
            _ => null,
        };
    }

    [LoggerMessage(LogLevel.Warning, "{Dependency} is unavailable, so {Path} answers 503: {Reason}")]
    private static partial void LogUnavailable(ILogger logger, string dependency, string path, string? reason);
}

/// <summary>Writes problems regardless of the Accept header. The framework's writer would send an empty response to clients that don't accept JSON.</summary>
internal sealed class AnyClientProblemWriter(IOptions<ProblemDetailsOptions> options) : IProblemDetailsWriter
{
    public bool CanWrite(ProblemDetailsContext context) => true;

    public async ValueTask WriteAsync(ProblemDetailsContext context)
    {
        var (problem, status) = (context.ProblemDetails, context.HttpContext.Response.StatusCode);
        problem.Status ??= status;
        problem.Title ??= Problem.TitleOf(status);
        problem.Type ??= Problem.TypeOf(status);
        options.Value.CustomizeProblemDetails?.Invoke(context);
        await context.HttpContext.Response.WriteAsJsonAsync(problem, problem.GetType(), options: null, contentType: "application/problem+json");
    }
}
