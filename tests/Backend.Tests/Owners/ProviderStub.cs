using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Owners;

/// <summary>A small OpenID Connect provider that signs in whoever a test says, without asking: discovery, keys, authorization code with PKCE, signed tokens.</summary>
public sealed class ProviderStub : IAsyncDisposable
{
    public const string ClientId = "platform";
    public const string ClientSecret = "secret-of-the-client";

    private readonly ECDsaSecurityKey _key = new(ECDsa.Create(ECCurve.NamedCurves.nistP256)) { KeyId = "key-of-the-tests" };
    private readonly Dictionary<string, IQueryCollection> _codes = [];
    private StubService? _service;

    public Uri Address => _service!.Address;

    /// <summary>Who is at the keyboard.</summary>
    public Dictionary<string, string> Person { get; set; } = new() { ["sub"] = "person-1", ["name"] = "Ada" };

    /// <summary>The person says no.</summary>
    public bool Refuses { get; set; }

    /// <summary>Signs with a key that is not its own.</summary>
    public bool Forges { get; set; }

    public List<string> Codes { get; } = [];

    public List<string> Tokens { get; } = [];

    public async Task StartAsync() => _service = await StubService.StartAsync(app =>
    {
        app.MapGet("/.well-known/openid-configuration", () => new
        {
            issuer = Issuer,
            authorization_endpoint = $"{Issuer}/authorize",
            token_endpoint = $"{Issuer}/token",
            jwks_uri = $"{Issuer}/jwks",
            response_types_supported = new[] { "code" },
            subject_types_supported = new[] { "public" },
            id_token_signing_alg_values_supported = new[] { "ES256" },
        });
        app.MapGet("/jwks", () =>
        {
            var point = _key.ECDsa.ExportParameters(includePrivateParameters: false).Q;
            return new { keys = new[] { new { kty = "EC", crv = "P-256", use = "sig", alg = "ES256", kid = _key.KeyId, x = Base64UrlEncoder.Encode(point.X!), y = Base64UrlEncoder.Encode(point.Y!) } } };
        });
        app.MapGet("/authorize", Authorize);
        app.MapPost("/token", ExchangeAsync);
    });

    public Task StopAsync() => _service!.StopAsync();

    public async ValueTask DisposeAsync()
    {
        if (_service is not null)
            await _service.DisposeAsync();
    }

    private string Issuer => Address.ToString().TrimEnd('/');

    private IResult Authorize(HttpRequest request)
    {
        var back = request.Query["redirect_uri"].ToString();
        if (Refuses)
            return Results.Redirect(QueryHelpers.AddQueryString(back, new Dictionary<string, string?> { ["error"] = "access_denied", ["state"] = request.Query["state"] }));

        request.Query["client_id"].ToString().ShouldBe(ClientId);
        request.Query["code_challenge_method"].ToString().ShouldBe("S256");
        var code = $"code-{Guid.NewGuid():n}";
        Codes.Add(code);
        _codes[code] = request.Query;
        return Results.Redirect(QueryHelpers.AddQueryString(back, new Dictionary<string, string?> { ["code"] = code, ["state"] = request.Query["state"] }));
    }

    private async Task<IResult> ExchangeAsync(HttpRequest request)
    {
        var form = await request.ReadFormAsync();
        if (!_codes.Remove(form["code"].ToString(), out var asked)
            || form["client_secret"] != ClientSecret
            || Base64UrlEncoder.Encode(SHA256.HashData(Encoding.ASCII.GetBytes(form["code_verifier"].ToString()))) != asked["code_challenge"])
        {
            return Results.BadRequest(new { error = "invalid_grant" });
        }

        using var another = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var key = Forges ? new ECDsaSecurityKey(another) { KeyId = _key.KeyId } : _key;
        var token = new JsonWebTokenHandler().CreateToken(new SecurityTokenDescriptor
        {
            Issuer = Issuer,
            Audience = ClientId,
            Subject = new ClaimsIdentity([.. Person.Select(claim => new Claim(claim.Key, claim.Value)), new Claim("nonce", asked["nonce"].ToString())]),
            SigningCredentials = new(key, SecurityAlgorithms.EcdsaSha256) { CryptoProviderFactory = new() { CacheSignatureProviders = false } },
        });
        Tokens.Add(token);
        return Results.Json(new { access_token = "access-of-nobody", token_type = "Bearer", id_token = token });
    }
}
