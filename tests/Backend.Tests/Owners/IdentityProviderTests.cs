using System.Net;
using Platform.Backend.Tests.Console;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Owners;

public sealed class IdentityProviderTests(PostgresServer server) : IAsyncLifetime
{
    private readonly BackendHost _backend = new(server);
    private readonly ProviderStub _provider = new();
    private readonly RecordedSignals _signals = new();

    public async ValueTask InitializeAsync()
    {
        await _provider.StartAsync();
        _backend.Set("Oidc:Authority", _provider.Address.ToString().TrimEnd('/'));
        _backend.Set("Oidc:ClientId", ProviderStub.ClientId);
        _backend.Set("Oidc:ClientSecret", ProviderStub.ClientSecret);
        _backend.Set("Oidc:Name", "Example ID");
        _backend.Set("Oidc:AdminClaim", "role");
        _backend.Set("Oidc:AdminValue", "platform-admin");
        // as it is when nobody sets anything
        _backend.Set("Logging:LogLevel:Default", "Information");
        _backend.Configure = _signals.Record;
        await _backend.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _backend.DisposeAsync();
        await _provider.DisposeAsync();
        _signals.Dispose();
    }

    [Fact]
    public async Task Somebodys_first_sign_in_makes_an_owner_and_the_next_one_finds_it_again()
    {
        using var browser = Stranger();
        await browser.OpenAsync("/shops/new/aurora");
        await browser.FollowAsync("Sign in with Example ID");
        browser.Address.PathAndQuery.ShouldBe("/shops/new/aurora");
        browser.Type("Shop name", "Ada's");
        await browser.PressAsync("Create shop");
        var shop = browser.Address.AbsolutePath;

        _provider.Person["name"] = "Ada L.";
        using var again = Stranger();
        await again.OpenAsync(shop);
        await again.FollowAsync("Sign in with Example ID");
        again.Text.ShouldContain("Ada's");
        ConsoleBrowser.TextOf(again.Page.QuerySelector(".signed-in")!).ShouldStartWith("Signed in as Ada L.");
        again.Page.QuerySelectorAll("nav a").Select(ConsoleBrowser.TextOf).ShouldNotContain("Keys");

        _provider.Person = new() { ["sub"] = "person-2", ["name"] = "Ada L." };
        using var namesake = Stranger();
        await namesake.OpenAsync("/");
        await namesake.FollowAsync("Sign in with Example ID");
        await namesake.OpenAsync(shop, HttpStatusCode.NotFound);

        foreach (var secret in (string[])[.. _provider.Codes, .. _provider.Tokens, ProviderStub.ClientSecret, "access-of-nobody"])
            _signals.ShouldNotHave(secret);
    }

    [Fact]
    public async Task The_claim_of_the_configuration_makes_an_administrator()
    {
        _provider.Person["role"] = "platform-admin";
        using var browser = Stranger();
        await browser.OpenAsync("/keys");
        await browser.FollowAsync("Sign in with Example ID");
        browser.Text.ShouldContain("No keys yet");
    }

    [Fact]
    public async Task Who_refuses_or_comes_with_a_forged_token_is_not_signed_in()
    {
        using var browser = Stranger();
        _provider.Refuses = true;
        await browser.OpenAsync("/");
        await browser.FollowAsync("Sign in with Example ID");
        browser.Text.ShouldContain("The sign-in was not finished.");

        (_provider.Refuses, _provider.Forges) = (false, true);
        await browser.FollowAsync("Sign in with Example ID");
        browser.Text.ShouldContain("The sign-in was not finished.");
        await browser.OpenAsync("/");
        browser.Address.AbsolutePath.ShouldBe("/sign-in");
    }

    [Fact]
    public async Task A_way_back_that_was_not_begun_here_signs_nobody_in()
    {
        using var browser = Stranger();
        await browser.OpenAsync("/sign-in/callback?code=stolen&state=made-up");
        browser.Address.PathAndQuery.ShouldBe("/sign-in?problem=failed");
    }

    [Fact]
    public async Task Behind_a_proxy_the_provider_is_told_the_address_that_browsers_know()
    {
        _backend.Set("Oidc:RedirectUri", "https://console.example/sign-in/callback");
        await _backend.RestartAsync();
        using var client = _backend.Connect(null);
        using var response = await client.GetAsync("/sign-in/provider");
        response.StatusCode.ShouldBe(HttpStatusCode.Redirect);
        response.Headers.Location!.Query.ShouldContain("redirect_uri=https%3A%2F%2Fconsole.example%2Fsign-in%2Fcallback&");
    }

    [Fact]
    public async Task While_the_provider_is_away_one_is_told_so_and_can_sign_in_with_a_key()
    {
        await _provider.StopAsync();
        using var browser = Stranger();
        await browser.OpenAsync("/sign-in/provider", HttpStatusCode.ServiceUnavailable);
        browser.Text.ShouldContain("Sign in with a key");
        await browser.SignInAsync(BackendHost.AdminKey);
        browser.Address.AbsolutePath.ShouldBe("/");
    }

    private ConsoleBrowser Stranger() => new(_backend.Client.BaseAddress!, key: null);
}
