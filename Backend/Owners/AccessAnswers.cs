using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Authorization.Infrastructure;
using Microsoft.AspNetCore.Authorization.Policy;
using Microsoft.AspNetCore.Http.HttpResults;
using Platform.Backend.Console;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Owners;

/// <summary>The response to unauthenticated or unauthorised requests: browsers are redirected to the sign-in page, API clients get a problem.</summary>
internal sealed class AccessAnswers : IAuthorizationMiddlewareResultHandler
{
    public Task HandleAsync(RequestDelegate next, HttpContext context, AuthorizationPolicy policy, PolicyAuthorizationResult authorizeResult)
    {
        if (authorizeResult.Succeeded)
            return next(context);
        // A refusal must not be cached either: the same address may be allowed after signing in.
        context.Response.Headers.CacheControl = "no-store";
        IResult answer = authorizeResult.Forbidden ? Forbidden(authorizeResult.AuthorizationFailure) : Challenge(context);
        return answer.ExecuteAsync(context);
    }

    /// <summary>The problem for a missing or refused key.</summary>
    public static IResult Refused(KeyRefusal? refusal, HttpContext context)
    {
        switch (refusal)
        {
            case { Reason: KeyRefusalReason.Unavailable, RetryAfter: { } after }:
                context.Response.Headers[CommunicationHeaders.ShouldRetry] = "false";
                return Problem.Unavailable("Keys can't be verified now because the database is unavailable. Try again later.", after);
            case { Reason: KeyRefusalReason.TooManyWrong, RetryAfter: { } after }:
                return Problem.TooManyRequests("Too many wrong keys came from this address. Try again later.", after);
            default:
                context.Response.Headers.WWWAuthenticate = refusal is null ? "Bearer" : "Bearer error=\"invalid_token\"";
                return Problem.Unauthorized(refusal is null
                    ? "This call needs a key: send it as Authorization: Bearer."
                    : "The key is not valid: it is mistyped, revoked or expired.");
        }
    }

    private static IResult Challenge(HttpContext context)
    {
        var refusal = context.Features.Get<KeyRefusal>();
        return refusal?.Reason is KeyRefusalReason.Unavailable or KeyRefusalReason.TooManyWrong || !IsForPerson(context.Request)
            ? Refused(refusal, context)
            : TypedResults.LocalRedirect(SignInPages.AddressFor(context.Request.PathBase + context.Request.Path + context.Request.QueryString));
    }

    private static ProblemHttpResult Forbidden(AuthorizationFailure? failure)
    {
        var missing = failure?.FailedRequirements.OfType<ClaimsAuthorizationRequirement>().FirstOrDefault()?.AllowedValues?.FirstOrDefault();
        return Problem.Forbidden(missing is not null
            ? $"This needs a key with the scope '{missing}'."
            : "A console session can't be used to change anything through the API: send a key as Authorization: Bearer.");
    }

    private static bool IsForPerson(HttpRequest request) =>
        (HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method)) && ProblemPageWriter.IsForPerson(request);
}
