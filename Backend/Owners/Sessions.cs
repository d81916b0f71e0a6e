using System.Security.Claims;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;

namespace Platform.Backend.Owners;

/// <summary>
/// Sessions of the console: a cookie that holds who signed in, sealed with keys that all replicas share. It goes back to this host only, by top-level navigation only, and no
/// script can read it. A session that was begun with a key ends with the key; one of an OpenID Connect provider ends after eight hours, so that the provider is asked again.
/// </summary>
internal static class Sessions
{
    public const string Scheme = "session";

    // the digest of the key, not the key
    private const string DigestClaim = "key-digest";

    private static readonly TimeSpan Length = TimeSpan.FromHours(8);

    public static void Configure(CookieAuthenticationOptions options, IHostEnvironment environment)
    {
        options.Cookie = NewCookie("platform-session", environment);
        // not Strict: the way back from a provider begins at another site
        options.Cookie.SameSite = SameSiteMode.Lax;
        options.ExpireTimeSpan = Length;
        options.SlidingExpiration = true;
        options.Events.OnValidatePrincipal = VerifyAgainAsync;
    }

    /// <summary>
    /// A cookie for this host that no script reads. Outside of Development it is bound to this very host and to https by its prefix, which browsers enforce. In Development the
    /// console is on plain http, where some browsers keep no such cookie.
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

    private static async Task VerifyAgainAsync(CookieValidatePrincipalContext context)
    {
        if (context.Principal!.FindFirstValue(DigestClaim) is not { } digest)
            return;

        var verify = context.HttpContext.RequestServices.GetRequiredService<VerifyKey>();
        var verdict = await verify.ExecuteAsync(context.HttpContext, Convert.FromHexString(digest), context.HttpContext.RequestAborted);
        if (verdict.Grant is not null)
            return;

        context.HttpContext.Features.Set(verdict.Refusal);
        context.RejectPrincipal();
        // while the database is away nobody knows, and the session may well be good
        if (verdict.Refusal!.Reason == KeyRefusalReason.Invalid)
            await context.HttpContext.SignOutAsync(Scheme);
    }
}

/// <summary>
/// A cookie that is for https also when the request came by http: outside of Development something in front of Backend speaks https with the browser. The framework's own
/// <see cref="CookieSecurePolicy.Always"/> makes forms refuse such requests.
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
