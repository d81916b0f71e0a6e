using System.Security.Claims;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Platform.Backend.Console;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Owners;

/// <summary>Configuration <c>Oidc</c>: the OpenID Connect provider for signing in to the console. Used if authority, client id and client secret are all set.</summary>
internal sealed class OidcOptions
{
    /// <summary>The provider's address, without <c>/.well-known/openid-configuration</c>. None by default; must be https outside of Development.</summary>
    public string? Authority { get; set; }

    /// <summary>The client id registered with the provider. None by default.</summary>
    public string? ClientId { get; set; }

    /// <summary>The client secret registered with the provider. None by default.</summary>
    public string? ClientSecret { get; set; }

    /// <summary>
    /// The redirect URI registered with the provider: Backend's public address and <c>/sign-in/callback</c>. By default derived from the request; must be set behind a
    /// proxy that terminates TLS, because the request then has the wrong scheme.
    /// </summary>
    public string? RedirectUri { get; set; }

    /// <summary>The provider's name on the sign-in page. Default "single sign-on".</summary>
    public string Name { get; set; } = "single sign-on";

    /// <summary>A user whose claim of this type is <see cref="AdminValue"/> is an administrator. None by default: then no user of the provider is one.</summary>
    public string? AdminClaim { get; set; }

    /// <summary>The value of <see cref="AdminClaim"/> that administrators have.</summary>
    public string? AdminValue { get; set; }

    public bool IsConfigured => !string.IsNullOrWhiteSpace(Authority) && !string.IsNullOrWhiteSpace(ClientId) && !string.IsNullOrWhiteSpace(ClientSecret);

    public bool IsEmpty => string.IsNullOrWhiteSpace(Authority) && string.IsNullOrWhiteSpace(ClientId) && string.IsNullOrWhiteSpace(ClientSecret);

    public static OidcOptions Of(IConfiguration configuration) => configuration.GetSection("Oidc").Get<OidcOptions>() ?? new();
}

/// <summary>Signs users in with the provider: authorization code flow with PKCE. Tokens are not stored.</summary>
internal static partial class IdentityProvider
{
    public const string Scheme = "oidc";

    private const string Callback = "/sign-in/callback";

    public static void AddIdentityProvider(this AuthenticationBuilder authentication, IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<OidcOptions>().BindConfiguration("Oidc")
            .Validate(options => options.IsConfigured || options.IsEmpty, "Oidc:Authority, Oidc:ClientId and Oidc:ClientSecret must be set together.")
            .Validate(options => string.IsNullOrEmpty(options.AdminClaim) == string.IsNullOrEmpty(options.AdminValue), "Oidc:AdminClaim and Oidc:AdminValue must be set together.")
            .Validate(options => options.IsEmpty || Uri.TryCreate(options.Authority, UriKind.Absolute, out _), "Oidc:Authority must be an absolute address.")
            .Validate(
                options => string.IsNullOrEmpty(options.RedirectUri) || Uri.TryCreate(options.RedirectUri, UriKind.Absolute, out var back) && back.AbsolutePath == Callback,
                $"Oidc:RedirectUri must be an absolute address that ends in {Callback}.")
            .ValidateOnStart();
        if (!OidcOptions.Of(builder.Configuration).IsConfigured)
            return;

        builder.Services.AddScoped<FindOrMakeOwner>();
        authentication.AddOpenIdConnect(Scheme, _ => { });
        builder.Services.AddOptions<OpenIdConnectOptions>(Scheme).Configure<IOptions<OidcOptions>, IHostEnvironment>(Configure);
    }

    private static void Configure(OpenIdConnectOptions options, IOptions<OidcOptions> oidc, IHostEnvironment environment)
    {
        options.Authority = oidc.Value.Authority;
        options.ClientId = oidc.Value.ClientId;
        options.ClientSecret = oidc.Value.ClientSecret;
        options.RequireHttpsMetadata = !environment.IsDevelopment();
        options.SignInScheme = Sessions.Scheme;
        options.CallbackPath = Callback;
        options.ResponseType = OpenIdConnectResponseType.Code;
        // Not form_post: SameSite cookies aren't sent with cross-site form posts, so such a post can't match the pending sign-in.
        options.ResponseMode = OpenIdConnectResponseMode.Query;
        options.UsePkce = true;
        options.MapInboundClaims = false;
        options.SaveTokens = false;
        options.BackchannelTimeout = TimeSpan.FromSeconds(10);
        foreach (var (cookie, name) in (ReadOnlySpan<(CookieBuilder, string)>)[(options.CorrelationCookie, "platform-sign-in."), (options.NonceCookie, "platform-nonce.")])
        {
            (cookie.Name, cookie.SecurePolicy) = (name, environment.IsDevelopment() ? CookieSecurePolicy.SameAsRequest : CookieSecurePolicy.Always);
            cookie.SameSite = SameSiteMode.Lax;
        }

        options.Events.OnRedirectToIdentityProvider = context =>
        {
            if (!string.IsNullOrEmpty(oidc.Value.RedirectUri))
                context.ProtocolMessage.RedirectUri = oidc.Value.RedirectUri;
            return Task.CompletedTask;
        };
        options.Events.OnTokenValidated = context => BecomeOwnerAsync(context, oidc.Value);
        options.Events.OnRemoteFailure = context =>
        {
            LogFailed(context.HttpContext.RequestServices.GetRequiredService<ILogger<OpenIdConnectHandler>>(), context.Failure?.GetType().Name ?? "unknown");
            context.HandleResponse();
            context.Response.Redirect(SignInPages.AddressAfterFailure(
                unavailable: context.Failure is { } failure && DatabaseProblems.IsUnavailable(failure.InnerException ?? failure)));
            return Task.CompletedTask;
        };
    }

    private static async Task BecomeOwnerAsync(TokenValidatedContext context, OidcOptions options)
    {
        var person = context.Principal!;
        var (issuer, subject) = (context.SecurityToken.Issuer, person.FindFirstValue("sub")!);
        var name = person.FindFirstValue("name") ?? person.FindFirstValue("preferred_username") ?? person.FindFirstValue("email") ?? subject;
        var owner = await context.HttpContext.RequestServices.GetRequiredService<FindOrMakeOwner>()
            .ExecuteAsync(issuer, subject, OwnerRules.Shorten(name), context.HttpContext.RequestAborted);
        var isAdministrator = !string.IsNullOrEmpty(options.AdminClaim) && person.HasClaim(options.AdminClaim, options.AdminValue!);

        context.Principal = new Grant(owner.Id, owner.Name, [isAdministrator ? Scopes.Admin : Scopes.Deploy]).ToPrincipal(Sessions.Scheme);
        context.Properties = new() { RedirectUri = context.Properties?.RedirectUri, IsPersistent = false, AllowRefresh = false };
    }

    [LoggerMessage(LogLevel.Warning, "Sign-in with the identity provider failed: {Reason}")]
    private static partial void LogFailed(ILogger logger, string reason);
}
