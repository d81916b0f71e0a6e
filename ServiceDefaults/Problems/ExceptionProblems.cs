using System.Net;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Mvc;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Problems;

/// <summary>Turns the exceptions that say something to a caller into their problems. Everything else becomes a 500 that tells nothing of the inside.</summary>
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
                    // names the parameter and what it was given, nothing of the inside
                    _ => bad.Message,
                }).ExecuteAsync(httpContext);
                return true;

            case DependencyUnavailableException unavailable:
                LogUnavailable(logger, unavailable.Dependency, httpContext.Request.Path, unavailable.InnerException?.Message);
                httpContext.Response.Headers[CommunicationHeaders.ShouldRetry] = "false";
                await Problem.Unavailable($"{unavailable.Dependency} does not answer. Try again later.", unavailable.RetryAfter).ExecuteAsync(httpContext);
                return true;

            case ServiceCallException failed:
                LogUnavailable(logger, failed.Destination, httpContext.Request.Path, failed.Message);
                httpContext.Response.Headers[CommunicationHeaders.ShouldRetry] = "false";
                await Problem.Unavailable($"{failed.Destination} does not answer. Try again later.", failed.RetryAfter).ExecuteAsync(httpContext);
                return true;

            // what EnsureSuccessStatusCode makes of a dependency's failure
            case HttpRequestException { StatusCode: null or HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests or >= HttpStatusCode.InternalServerError } failed:
                LogUnavailable(logger, "What the request needs", httpContext.Request.Path, failed.Message);
                httpContext.Response.Headers[CommunicationHeaders.ShouldRetry] = "false";
                await Problem.Unavailable("Something that this service depends on does not answer. Try again later.", TimeSpan.FromSeconds(5)).ExecuteAsync(httpContext);
                return true;

            default:
                return false;
        }
    }

    /// <summary>What every problem carries that the framework writes itself.</summary>
    public static void Complete(ProblemDetailsContext context)
    {
        foreach (var (key, value) in Problem.Extensions())
        {
            context.ProblemDetails.Extensions[key] = value;
        }

        if (context.ProblemDetails.Detail is not null)
        {
            return;
        }

        var request = context.HttpContext.Request;
        switch (context.HttpContext.Response.StatusCode)
        {
            case StatusCodes.Status404NotFound:
                context.ProblemDetails.Detail = $"There is nothing at {request.Path}.";
                break;
            case StatusCodes.Status405MethodNotAllowed:
                context.ProblemDetails.Detail = $"{request.Path} does not take {request.Method}; it takes {context.HttpContext.Response.Headers.Allow}.";
                break;
            case StatusCodes.Status415UnsupportedMediaType:
                context.ProblemDetails.Detail = $"{request.Path} does not take a body of this Content-Type.";
                break;
            case StatusCodes.Status500InternalServerError:
                context.ProblemDetails.Title = "Something went wrong on our side.";
                context.ProblemDetails.Detail = "The request was understood and failed here. The correlation id finds it in the logs.";
                break;
        }
    }

    [LoggerMessage(LogLevel.Warning, "{Dependency} is unavailable, so {Path} answers 503: {Reason}")]
    private static partial void LogUnavailable(ILogger logger, string dependency, string path, string? reason);
}

/// <summary>Writes problems also to clients whose Accept header does not ask for them: the framework's writer would leave those with an empty answer.</summary>
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
