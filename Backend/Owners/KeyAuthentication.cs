using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.Extensions.Options;

namespace Platform.Backend.Owners;

/// <summary>Authenticates the key in <c>Authorization: Bearer</c>. <see cref="AccessAnswers"/> writes the response if it is refused.</summary>
internal sealed class KeyAuthentication(
    VerifyKey verify, IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    public const string SchemeName = "key";

    private const string Bearer = "Bearer ";

    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        // Anonymous and internal endpoints don't need a key, so they must not wait for its verification.
        if (Context.GetEndpoint()?.Metadata.GetMetadata<IAllowAnonymous>() is not null)
            return AuthenticateResult.NoResult();

        var verdict = Request.Headers.Authorization is [{ } header] && header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase) && header.Length > Bearer.Length
            ? await verify.ExecuteAsync(Context, header[Bearer.Length..].Trim(), Context.RequestAborted)
            : new(Refusal: new(KeyRefusalReason.Invalid));
        if (verdict.Grant is { } grant)
            return AuthenticateResult.Success(new(grant.ToPrincipal(SchemeName), SchemeName));

        Context.Features.Set(verdict.Refusal);
        return AuthenticateResult.Fail("The key is not accepted.");
    }
}
