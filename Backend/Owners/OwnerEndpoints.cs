using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;

namespace Platform.Backend.Owners;

/// <summary><c>/api/owners</c> and <c>/api/keys</c>, and the authentication and authorisation of all endpoints.</summary>
internal static class OwnerEndpoints
{
    private const string KeyOrSession = "key-or-session";

    public static void AddOwners(this IHostApplicationBuilder builder)
    {
        builder.Services.RequireSecret(
            configuration => ConfiguredSecret.IsIn(configuration, VerifyKey.AdminKey) || OidcOptions.Of(configuration).IsConfigured,
            "AdminKey is missing: set it, or a provider to sign in with (Oidc:Authority, Oidc:ClientId, Oidc:ClientSecret).");

        var authentication = builder.Services.AddAuthentication(KeyOrSession)
            .AddPolicyScheme(KeyOrSession, null, options => options.ForwardDefaultSelector =
                context => context.Request.Headers.Authorization.Count > 0 ? KeyAuthentication.SchemeName : Sessions.Scheme)
            .AddScheme<AuthenticationSchemeOptions, KeyAuthentication>(KeyAuthentication.SchemeName, null)
            .AddCookie(Sessions.Scheme);
        authentication.AddIdentityProvider(builder);
        builder.Services.AddOptions<CookieAuthenticationOptions>(Sessions.Scheme).Configure<IHostEnvironment>(Sessions.Configure);
        builder.Services.AddAntiforgery();
        builder.Services.AddOptions<AntiforgeryOptions>().Configure<IHostEnvironment>(static (options, environment) =>
        {
            options.Cookie = Sessions.NewCookie("platform-form", environment);
            options.Cookie.SameSite = SameSiteMode.Strict;
            // The console's Content-Security-Policy has frame-ancestors.
            options.SuppressXFrameOptionsHeader = true;
        });
        builder.AddSessionKeys();
        builder.Services.AddAuthorization(options => options.AddScopePolicies());
        builder.Services.AddSingleton<IAuthorizationMiddlewareResultHandler, AccessAnswers>();

        builder.Services.Configure<IdempotencyOptions>(options => options.FormerlyAnonymous = Owner.Administrator.ToString());
        builder.Services.AddHttpContextAccessor();
        builder.Services.AddScoped(services => Caller.Of(services.GetRequiredService<IHttpContextAccessor>().HttpContext!.User));
        builder.Services.AddSingleton<KnownKeys>();
        builder.Services.AddSingleton<FindKey>();
        builder.Services.AddSingleton<VerifyKey>();
        builder.Services.AddFallback(VerifyKey.Remembered).AddFallback(VerifyKey.Unknown);
        builder.Services.AddScoped<FindOwner>();
        builder.Services.AddScoped<ListOwners>();
        builder.Services.AddScoped<MakeOwner>();
        builder.Services.AddScoped<FindApiKey>();
        builder.Services.AddScoped<ListApiKeys>();
        builder.Services.AddScoped<MakeApiKey>();
        builder.Services.AddScoped<RevokeApiKey>();
    }

    public static void MapOwners(this IEndpointRouteBuilder routes)
    {
        var keys = routes.MapGroup("/api/keys").WithTags("Keys").RequireScope(Scopes.Admin).WithIdempotency();
        keys.MapPost("/", Make).WithName("CreateKey").ProducesProblem(409).ProducesProblem(422)
            .WithSummary("Creates a key. Only this response contains it.")
            .WithDescription("Give `ownerId` for an existing owner, or `owner` for a new one. If the call is repeated with the same `Idempotency-Key`, the response has no `key`: if the first response was lost, revoke the key.");
        keys.MapGet("/", List).WithName("ListKeys").WithSummary("Lists the keys that are not revoked, newest first.");
        keys.MapGet("/{id:guid}", Get).WithName("GetKey").ProducesProblem(404).WithSummary("Shows a key's owner, scopes and last use.");
        keys.MapDelete("/{id:guid}", Revoke).WithName("RevokeKey").ProducesProblem(404)
            .WithSummary("Revokes a key, and ends the sessions that were started with it.")
            .WithDescription("Takes effect immediately on the replica that answers, and within a second on the others.");

        var owners = routes.MapGroup("/api/owners").WithTags("Owners").RequireScope(Scopes.Admin).WithIdempotency();
        owners.MapPost("/", MakeOwnerOf).WithName("CreateOwner").ProducesProblem(409).ProducesProblem(422).WithSummary("Creates an owner, who can then be given keys.");
        owners.MapGet("/", ListAll).WithName("ListOwners").WithSummary("Lists the owners, newest first.");
        owners.MapGet("/{id:guid}", GetOwner).WithName("GetOwner").ProducesProblem(404).WithSummary("Shows an owner.");
    }

    private static Task<Results<Created<MadeApiKey>, ValidationProblem>> Make(NewApiKey key, MakeApiKey make, HttpResponse response, CancellationToken cancellationToken)
    {
        response.Headers.CacheControl = "no-store";
        return make.ExecuteAsync(key, cancellationToken);
    }

    private static async Task<Results<Ok<Page<ApiKey>>, ValidationProblem>> List([AsParameters] PageQuery page, ListApiKeys list, CancellationToken cancellationToken) =>
        page.TryRead<Guid?>(out var after, out var limit, out var problem) ? TypedResults.Ok(await list.ExecuteAsync(after, limit, cancellationToken)) : problem;

    private static async Task<Results<Ok<ApiKey>, ProblemHttpResult>> Get(Guid id, FindApiKey find, CancellationToken cancellationToken) =>
        await find.ExecuteAsync(id, cancellationToken) is { } key ? TypedResults.Ok(key) : OwnerProblems.NoKey(id);

    private static Task<Results<NoContent, ProblemHttpResult>> Revoke(Guid id, RevokeApiKey revoke, CancellationToken cancellationToken) =>
        revoke.ExecuteAsync(id, TypedResults.NoContent(), cancellationToken);

    private static Task<Results<Created<Owner>, ValidationProblem>> MakeOwnerOf(NewOwner owner, MakeOwner make, CancellationToken cancellationToken) =>
        make.ExecuteAsync(owner, cancellationToken);

    private static async Task<Results<Ok<Page<Owner>>, ValidationProblem>> ListAll([AsParameters] PageQuery page, ListOwners list, CancellationToken cancellationToken) =>
        page.TryRead<Guid?>(out var after, out var limit, out var problem) ? TypedResults.Ok(await list.ExecuteAsync(after, limit, cancellationToken)) : problem;

    private static async Task<Results<Ok<Owner>, ProblemHttpResult>> GetOwner(Guid id, FindOwner find, CancellationToken cancellationToken) =>
        await find.ExecuteAsync(id, cancellationToken) is { } owner ? TypedResults.Ok(owner) : OwnerProblems.NoOwner(id);
}
