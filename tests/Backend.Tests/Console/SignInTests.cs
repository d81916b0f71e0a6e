using System.Net;
using System.Net.Http.Json;
using Microsoft.AspNetCore.Hosting;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Console;

public sealed class SignInTests(BackendHost backend) : IClassFixture<BackendHost>
{
    private Uri Address => backend.Client.BaseAddress!;

    [Fact]
    public async Task Opening_a_page_leads_to_the_sign_in_and_back()
    {
        var made = await backend.MakeKeyAsync("read");
        using var browser = new ConsoleBrowser(Address, key: null);
        await browser.OpenAsync("/templates/aurora?version=1.0.0");
        browser.Address.AbsolutePath.ShouldBe("/sign-in");
        browser.Page.QuerySelectorAll(".signed-in").ShouldBeEmpty();

        browser.Type("Key", (string)made["key"]!);
        await browser.PressAsync("Sign in");
        browser.Address.PathAndQuery.ShouldBe("/templates/aurora?version=1.0.0");
        ConsoleBrowser.TextOf(browser.Page.QuerySelector(".signed-in")!).ShouldStartWith($"Signed in as {(string)made["owner"]!["name"]!}");
        browser.Page.QuerySelectorAll("nav a").Select(ConsoleBrowser.TextOf).ShouldNotContain("Keys");
    }

    [Fact]
    public async Task Signing_out_ends_the_session()
    {
        var made = await backend.MakeKeyAsync("deploy");
        using var browser = new ConsoleBrowser(Address, (string)made["key"]!);
        await browser.OpenAsync("/");
        await browser.PressAsync("Sign out");
        browser.Text.ShouldContain("You are signed out.");
        await browser.OpenAsync("/");
        browser.Address.AbsolutePath.ShouldBe("/sign-in");
    }

    [Fact]
    public async Task Revoking_a_key_ends_the_sessions_signed_in_with_it()
    {
        var made = await backend.MakeKeyAsync("deploy");
        using var browser = new ConsoleBrowser(Address, (string)made["key"]!);
        await browser.OpenAsync("/");
        browser.Address.AbsolutePath.ShouldBe("/");

        (await backend.Client.DeleteAsync($"/api/keys/{made.Id()}")).StatusCode.ShouldBe(HttpStatusCode.NoContent);

        await browser.OpenAsync("/");
        browser.Address.AbsolutePath.ShouldBe("/sign-in");
    }

    [Theory]
    [InlineData("", HttpStatusCode.BadRequest, "The key is required")]
    [InlineData("not-a-key", HttpStatusCode.Unauthorized, "The key is not valid")]
    public async Task A_wrong_key_is_an_error_at_the_field_and_never_echoed(string key, HttpStatusCode status, string error)
    {
        using var browser = new ConsoleBrowser(Address, key: null);
        await browser.SignInAsync(key, status);
        browser.ErrorOf("Key").ShouldNotBeNull().ShouldContain(error);
        browser.Value("Key").ShouldBeEmpty();
        browser.Title.ShouldStartWith("Error:");
    }

    [Theory]
    [InlineData("https://evil.example/")]
    [InlineData("//evil.example")]
    [InlineData("/\\evil.example")]
    [InlineData("javascript:alert(1)")]
    [InlineData("templates")]
    public async Task The_return_address_is_always_within_the_console(string returnUrl)
    {
        using var browser = new ConsoleBrowser(Address, key: null);
        await browser.OpenAsync($"/sign-in?returnUrl={Uri.EscapeDataString(returnUrl)}");
        browser.Type("Key", BackendHost.AdminKey);
        await browser.PressAsync("Sign in");
        browser.Address.ShouldBe(new Uri(Address, "/"));

        using var signedIn = new HttpRequestMessage(HttpMethod.Get, $"/sign-in?returnUrl={Uri.EscapeDataString(returnUrl)}");
        signedIn.Headers.Add("Cookie", browser.Cookies.GetCookieHeader(Address));
        using var client = backend.Connect(null);
        using var response = await client.SendAsync(signedIn);
        response.Headers.Location!.ToString().ShouldBe("/");
    }

    [Fact]
    public async Task Cookies_are_host_only_and_not_readable_by_scripts()
    {
        using var client = backend.Connect(null);
        using var page = await client.GetAsync("/sign-in");
        page.Headers.GetValues("Set-Cookie").ShouldHaveSingleItem().ShouldBe(page.Headers.GetValues("Set-Cookie").Single(cookie =>
            cookie.StartsWith("platform-form=", StringComparison.Ordinal) && cookie.EndsWith("; path=/; samesite=strict; httponly", StringComparison.Ordinal)));

        using var browser = new ConsoleBrowser(Address, key: null);
        await browser.OpenAsync("/sign-in");
        browser.Type("Key", BackendHost.AdminKey);
        using var response = await browser.PostAsync(browser.FormOf("Sign in"));
        response.StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        var session = response.Headers.GetValues("Set-Cookie").Single(cookie => cookie.StartsWith("platform-session=", StringComparison.Ordinal));
        session.ShouldEndWith("; path=/; samesite=lax; httponly");
        session.ShouldNotContain("domain", Case.Insensitive);
    }

    [Fact]
    public async Task Outside_development_cookies_require_https_even_behind_a_proxy()
    {
        await using var production = await backend.StartReplicaAsync(builder => builder.UseEnvironment("Production"));
        using var page = await production.Client.GetAsync("/sign-in");
        page.StatusCode.ShouldBe(HttpStatusCode.OK);
        var form = page.Headers.GetValues("Set-Cookie").ShouldHaveSingleItem();
        form.ShouldStartWith("__Host-platform-form=");
        form.ShouldEndWith("; path=/; secure; samesite=strict; httponly");

        var token = new AngleSharp.Html.Parser.HtmlParser().ParseDocument(await page.Content.ReadAsStringAsync())
            .QuerySelector("input[name=__RequestVerificationToken]")!.GetAttribute("value")!;
        using var request = new HttpRequestMessage(HttpMethod.Post, "/sign-in")
        {
            Content = new FormUrlEncodedContent([new("key", BackendHost.AdminKey), new("__RequestVerificationToken", token)]),
            Headers = { { "Cookie", form.Split(';')[0] } },
        };
        using var response = await production.Client.SendAsync(request);
        response.StatusCode.ShouldBe(HttpStatusCode.SeeOther);
        var session = response.Headers.GetValues("Set-Cookie").ShouldHaveSingleItem();
        session.ShouldStartWith("__Host-platform-session=");
        session.ShouldEndWith("; path=/; secure; samesite=lax; httponly");
    }

    [Fact]
    public async Task A_form_without_a_token_or_with_another_sessions_token_is_rejected()
    {
        var shop = await backend.CreateShopAsync();
        using var browser = new ConsoleBrowser(Address);
        using var other = new ConsoleBrowser(Address, (string)(await backend.MakeKeyAsync("admin"))["key"]!);
        await browser.OpenAsync($"/shops/{shop.Id()}/delete");
        await other.OpenAsync($"/shops/{shop.Id()}/delete");
        var (action, fields) = browser.FormOf("Delete shop");
        var token = other.FormOf("Delete shop").Fields.Single(field => field.Key == "__RequestVerificationToken");

        foreach (var forged in (KeyValuePair<string, string>[][])[[], [token], [new(token.Key, "nonsense")]])
        {
            using var response = await browser.PostAsync((action, [.. fields.Where(field => field.Key != token.Key), .. forged]));
            response.StatusCode.ShouldBe(HttpStatusCode.Forbidden);
        }

        (await (await backend.Client.GetAsync($"/api/shops/{shop.Id()}")).ReadAsync(HttpStatusCode.OK))["status"]!.GetValue<string>().ShouldBe("draft");
    }

    [Fact]
    public async Task A_session_may_read_the_API_and_its_event_streams_but_change_nothing()
    {
        var (_, deployment) = await backend.CreateLiveShopAsync();
        using var browser = new ConsoleBrowser(Address);
        await browser.OpenAsync("/");
        using var client = backend.Connect(null);
        client.DefaultRequestHeaders.Add("Cookie", browser.Cookies.GetCookieHeader(Address));

        (await client.GetAsync("/api/shops")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await client.GetStringAsync($"/api/deployments/{deployment.Id()}/events")).ShouldContain("event: finished");
        using var refused = await client.PostAsJsonAsync("/api/shops", BackendHost.NewShop());
        ((string)(await refused.ReadProblemAsync(HttpStatusCode.Forbidden))["detail"]!).ShouldContain("Authorization: Bearer");
    }

    [Fact]
    public async Task Submitting_a_form_after_the_session_ended_says_so()
    {
        var made = await backend.MakeKeyAsync("deploy");
        using var browser = new ConsoleBrowser(Address, (string)made["key"]!);
        await browser.OpenAsync("/shops/new/aurora");
        browser.Type("Shop name", "Too late");
        (await backend.Client.DeleteAsync($"/api/keys/{made.Id()}")).StatusCode.ShouldBe(HttpStatusCode.NoContent);

        await browser.PressAsync("Create shop", expected: HttpStatusCode.Unauthorized);
        browser.Text.ShouldContain("You are signed out");
        browser.Link("Sign in").GetAttribute("href").ShouldBe("/sign-in");
    }

    [Fact]
    public async Task Replicas_share_sessions_and_forms_and_the_keys_that_protect_them_are_encrypted()
    {
        using var browser = new ConsoleBrowser(Address);
        await browser.OpenAsync("/owners");
        browser.Type("Name", "Created on another replica");
        var form = browser.FormOf("Create owner");

        await using var replica = await backend.StartReplicaAsync();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/owners") { Content = new FormUrlEncodedContent(form.Fields) };
        request.Headers.Add("Cookie", browser.Cookies.GetCookieHeader(Address));
        using var response = await replica.Client.SendAsync(request);
        response.StatusCode.ShouldBe(HttpStatusCode.SeeOther);

        await using var command = backend.Database.DataSource.CreateCommand("select string_agg(xml, ' ') from data_protection_keys");
        var stored = (string)(await command.ExecuteScalarAsync())!;
        stored.ShouldContain("<sealed");
        stored.ShouldNotContain("masterKey");
    }
}
