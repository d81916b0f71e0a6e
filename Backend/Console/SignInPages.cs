using System.Globalization;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;
using Platform.Backend.Console.Pages;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>Sign-in with a key or through the identity provider, and sign-out.</summary>
internal static class SignInPages
{
    private const string Start = "/";
    private const string Unavailable = "unavailable";

    /// <summary>The sign-in page. Returns to <paramref name="returnUrl"/> afterwards.</summary>
    public static string AddressFor(string returnUrl) => returnUrl is Start ? "/sign-in" : $"/sign-in?returnUrl={Uri.EscapeDataString(returnUrl)}";

    /// <summary>The sign-in page, saying that the sign-in through the provider was declined, or that the provider or the database is unavailable.</summary>
    public static string AddressAfterFailure(bool unavailable) => $"/sign-in?problem={(unavailable ? Unavailable : "failed")}";

    public static IResult Show(string? returnUrl, string? said, string? problem, HttpContext context, IOptions<OidcOptions> provider)
    {
        var back = LocalOnly(returnUrl);
        return context.User.Identity?.IsAuthenticated == true
            ? new SeeOther(back)
            : Page(provider, back, said == "signed-out", problem switch
            {
                null => null,
                Unavailable => "The sign-in could not be finished because a service is unavailable. Try again in a moment.",
                _ => "The sign-in was not finished. Try again.",
            });
    }

    public static async Task<IResult> SignIn(HttpContext context, VerifyKey verify, IOptions<OidcOptions> provider, CancellationToken cancellationToken)
    {
        var form = await context.Request.ReadFormAsync(cancellationToken);
        var back = LocalOnly(form["returnUrl"]);
        var key = form["key"].ToString().Trim();
        if (key.Length == 0)
            return Page(provider, back, error: "is required", status: StatusCodes.Status400BadRequest);

        switch (await verify.ExecuteAsync(context, key, cancellationToken))
        {
            case { Grant: { } grant }:
                await Sessions.BeginAsync(context, grant, KeyFormat.DigestOf(key));
                return new SeeOther(back);
            case { Refusal: { Reason: KeyRefusalReason.TooManyWrong, RetryAfter: { } after } }:
                var seconds = Math.Max(1, (long)Math.Ceiling(after.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
                context.Response.Headers.RetryAfter = seconds;
                return Page(provider, back, error: $"was not checked, because there were too many failed attempts from your address. Try again in {seconds} s", status: StatusCodes.Status429TooManyRequests);
            case { Refusal.Reason: KeyRefusalReason.Invalid }:
                return Page(provider, back, error: "is not valid. It may be mistyped, revoked or expired", status: StatusCodes.Status401Unauthorized);
            case var unavailable:
                return AccessAnswers.Refused(unavailable.Refusal, context);
        }
    }

    public static async Task<IResult> SignOut(HttpContext context)
    {
        await context.SignOutAsync(Sessions.Scheme);
        return new SeeOther("/sign-in?said=signed-out");
    }

    /// <summary>A link, not a form: the Content-Security-Policy doesn't let forms lead to another site.</summary>
    public static async Task<IResult> GoToProvider(string? returnUrl, HttpContext context, IOptions<OidcOptions> provider)
    {
        if (!provider.Value.IsConfigured)
            return Problem.NotFound("No identity provider is configured.");
        try
        {
            await context.ChallengeAsync(IdentityProvider.Scheme, new AuthenticationProperties { RedirectUri = LocalOnly(returnUrl) });
            return TypedResults.Empty;
        }
        // The exceptions that the framework throws when the provider's metadata can't be read.
        catch (Exception exception) when (exception is InvalidOperationException or HttpRequestException or IOException or OperationCanceledException && !context.RequestAborted.IsCancellationRequested)
        {
            return Problem.Unavailable("The identity provider is unavailable. Sign in with a key, or try again later.", TimeSpan.FromSeconds(5));
        }
    }

    private static string LocalOnly(string? returnUrl) => returnUrl?.StartsWith('/') == true && RedirectHttpResult.IsLocalUrl(returnUrl) ? returnUrl : Start;

    private static PageResult<SignInPage> Page(
        IOptions<OidcOptions> provider, string returnUrl, bool signedOut = false, string? problem = null, string? error = null, int status = StatusCodes.Status200OK) => new(
        new()
        {
            [nameof(SignInPage.ReturnUrl)] = returnUrl,
            [nameof(SignInPage.Provider)] = provider.Value.IsConfigured ? provider.Value.Name : null,
            [nameof(SignInPage.SignedOut)] = signedOut,
            [nameof(SignInPage.Problem)] = problem,
            [nameof(SignInPage.Error)] = error,
        },
        status);
}

/// <summary>A 303 redirect to <paramref name="path"/>, a page of the console.</summary>
internal sealed class SeeOther(string path) : IResult
{
    public Task ExecuteAsync(HttpContext httpContext)
    {
        httpContext.Response.StatusCode = StatusCodes.Status303SeeOther;
        httpContext.Response.Headers.Location = path;
        return Task.CompletedTask;
    }
}
