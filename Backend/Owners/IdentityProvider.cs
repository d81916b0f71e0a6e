using System.Security.Claims;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Platform.Backend.Console;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Owners;

/// <summary>Configuration <c>Oidc</c>: the OpenID Connect provider that people sign in with. None is used unless all of authority, client and secret are given.</summary>
internal sealed class OidcOptions
{
    /// <summary>The address of the provider, below which <c>/.well-known/openid-configuration</c> is. None by default; https outside of Development.</summary>
    public string? Authority { get; set; }

    /// <summary>What the provider calls this platform. None by default.</summary>
    public string? ClientId { get; set; }

    /// <summary>What this platform shows the provider. None by default.</summary>
    public string? ClientSecret { get; set; }

    /// <summary>
    /// Where the provider sends people back to: Backend's address as browsers know it, and <c>/sign-in/callback</c>. By default made from the request, which behind a proxy that
    /// speaks https for Backend has the wrong scheme.
    /// </summary>
    public string? RedirectUri { get; set; }

    /// <summary>How the sign-in page calls the provider. "single sign-on".</summary>
    public string Name { get; set; } = "single sign-on";

    /// <summary>The claim that makes an administrator when it has <see cref="AdminValue"/>. None by default: nobody who signs in so is one.</summary>
    public string? AdminClaim { get; set; }

    /// <summary>The value of <see cref="AdminClaim"/> that makes an administrator.</summary>
    public string? AdminValue { get; set; }

    public bool IsConfigured => !string.IsNullOrWhiteSpace(Authority) && !string.IsNullOrWhiteSpace(ClientId) && !string.IsNullOrWhiteSpace(ClientSecret);

    public bool IsEmpty => string.IsNullOrWhiteSpace(Authority) && string.IsNullOrWhiteSpace(ClientId) && string.IsNullOrWhiteSpace(ClientSecret);

    public static OidcOptions Of(IConfiguration configuration) => configuration.GetSection("Oidc").Get<OidcOptions>() ?? new();
}

/// <summary>Signs people in with the provider: authorization code with PKCE, the tokens are read once and kept nowhere.</summary>
internal static partial class IdentityProvider
{
    public const string Scheme = "oidc";

    private const string Callback = "/sign-in/callback";

    public static void AddIdentityProvider(this AuthenticationBuilder authentication, IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<OidcOptions>().BindConfiguration("Oidc")
            .Validate(options => options.IsConfigured || options.IsEmpty, "Oidc needs all of Authority, ClientId and ClientSecret, or none of them.")
            .Validate(options => string.IsNullOrEmpty(options.AdminClaim) == string.IsNullOrEmpty(options.AdminValue), "Oidc:AdminClaim and Oidc:AdminValue need each other.")
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
        // a form that another site posts would bring no cookie along, and so not belong to the sign-in that was begun here
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
                context.Failure is { } failure && DatabaseProblems.IsUnavailable(failure.InnerException ?? failure) ? SignInPages.Unavailable : SignInPages.Failed));
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

    [LoggerMessage(LogLevel.Warning, "A sign-in with the identity provider failed: {Reason}")]
    private static partial void LogFailed(ILogger logger, string reason);
}
