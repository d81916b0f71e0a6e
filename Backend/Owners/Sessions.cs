using System.Security.Claims;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;

namespace Platform.Backend.Owners;

/// <summary>
/// Sessions of the console: an encrypted cookie (HttpOnly, SameSite=Lax) with the signed-in user, which all replicas can decrypt. A session started with a key ends when the
/// key is revoked or expires; one started with an OpenID Connect provider ends after eight hours, so that the user must sign in again.
/// </summary>
internal static class Sessions
{
    public const string Scheme = "session";

    // The key's SHA-256, so that the cookie doesn't contain the key.
    private const string DigestClaim = "key-digest";

    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(8);

    public static void Configure(CookieAuthenticationOptions options, IHostEnvironment environment)
    {
        options.Cookie = NewCookie("platform-session", environment);
        // Not Strict: the provider's redirect back is a cross-site navigation.
        options.Cookie.SameSite = SameSiteMode.Lax;
        options.ExpireTimeSpan = Lifetime;
        options.SlidingExpiration = true;
        options.Events.OnValidatePrincipal = ValidateAsync;
    }

    /// <summary>
    /// An HttpOnly cookie. Outside of Development its name has the prefix <c>__Host-</c>, with which browsers bind it to this host and https. In Development the console
    /// uses plain http, for which some browsers reject such cookies.
    /// </summary>
    public static CookieBuilder NewCookie(string name, IHostEnvironment environment)
    {
        var cookie = environment.IsDevelopment() ? new CookieBuilder { Name = name } : new HostCookie { Name = "__Host-" + name };
        (cookie.Path, cookie.HttpOnly, cookie.IsEssential) = ("/", true, true);
        return cookie;
    }

    public static Task BeginAsync(HttpContext context, Grant grant, byte[] digest)
    {
        var user = grant.ToPrincipal(Scheme);
        ((ClaimsIdentity)user.Identity!).AddClaim(new(DigestClaim, Convert.ToHexString(digest)));
        return context.SignInAsync(Scheme, user, new() { IsPersistent = false });
    }

    private static async Task ValidateAsync(CookieValidatePrincipalContext context)
    {
        if (context.Principal!.FindFirstValue(DigestClaim) is not { } digest)
            return;

        var verify = context.HttpContext.RequestServices.GetRequiredService<VerifyKey>();
        var verdict = await verify.ExecuteAsync(context.HttpContext, Convert.FromHexString(digest), context.HttpContext.RequestAborted);
        if (verdict.Grant is not null)
            return;

        context.HttpContext.Features.Set(verdict.Refusal);
        context.RejectPrincipal();
        // Other reasons are temporary, such as an unavailable database: the session may be valid, so it is kept.
        if (verdict.Refusal!.Reason == KeyRefusalReason.Invalid)
            await context.HttpContext.SignOutAsync(Scheme);
    }
}

/// <summary>
/// A cookie with the attribute Secure even if the request came by http, because a proxy in front of Backend terminates TLS. With the framework's
/// <see cref="CookieSecurePolicy.Always"/> antiforgery would refuse such requests.
/// </summary>
internal sealed class HostCookie : CookieBuilder
{
    public override CookieOptions Build(HttpContext context, DateTimeOffset expiresFrom)
    {
        var options = base.Build(context, expiresFrom);
        options.Secure = true;
        return options;
    }
}
