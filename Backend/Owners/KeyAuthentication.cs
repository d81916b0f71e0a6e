using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.Extensions.Options;

namespace Platform.Backend.Owners;

/// <summary>Takes the key of <c>Authorization: Bearer</c>. What a wrong one is answered is <see cref="AccessAnswers"/>' to say.</summary>
internal sealed class KeyAuthentication(
    VerifyKey verify, IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    public const string SchemeName = "key";

    private const string Bearer = "Bearer ";

    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        // who may call what is open to anyone, or to the services, does not depend on a key, and must not wait for one to be verified
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
