using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Security;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Security;

public sealed class InternalTokenTests
{
    [Theory]
    [InlineData(DefaultsApp.Token, HttpStatusCode.OK)]
    [InlineData("token-of-the-testz", HttpStatusCode.Unauthorized)]
    [InlineData("token", HttpStatusCode.Unauthorized)]
    [InlineData("", HttpStatusCode.Unauthorized)]
    [InlineData(null, HttpStatusCode.Unauthorized)]
    public async Task Internal_endpoints_ask_for_the_token(string? token, HttpStatusCode expected)
    {
        await using var app = await StartAsync();
        (await CallAsync(app, token)).ShouldBe(expected);
    }

    [Fact]
    public async Task The_token_is_asked_for_before_the_request_is_read()
    {
        await using var app = await StartAsync();
        using var response = await app.Client.PostAsync("/internal", DefaultsApp.Json("{ not json"));
        response.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        await response.ReadProblemAsync();
    }

    [Theory]
    [InlineData("Development", true)]
    [InlineData("Staging", false)]
    [InlineData("Production", false)]
    public async Task Only_in_development_a_service_starts_without_a_token(string environment, bool starts)
    {
        var start = () => DefaultsApp.StartAsync(_ => { }, settings: new() { ["InternalToken"] = " " }, environment: environment);
        if (starts)
        {
            await (await start()).DisposeAsync();
        }
        else
        {
            (await Should.ThrowAsync<OptionsValidationException>(start)).Message.ShouldContain("InternalToken is missing");
        }
    }

    [Fact]
    public async Task Every_token_of_the_list_is_accepted_so_that_it_can_be_rotated()
    {
        await using var app = await StartAsync(new() { ["InternalToken:0"] = "new", ["InternalToken:1"] = "old" });
        (await CallAsync(app, "new")).ShouldBe(HttpStatusCode.OK);
        (await CallAsync(app, "old")).ShouldBe(HttpStatusCode.OK);
        (await CallAsync(app, DefaultsApp.Token)).ShouldBe(HttpStatusCode.Unauthorized);
        app.Get<InternalTokens>().Current.ShouldBe("new");
    }

    [Fact]
    public async Task A_changed_token_holds_without_a_restart()
    {
        await using var app = await StartAsync();
        var configuration = (IConfigurationRoot)app.Get<IConfiguration>();
        configuration["InternalToken"] = "changed";
        configuration.Reload();
        // the in-memory source keeps what was set
        (await CallAsync(app, "changed")).ShouldBe(HttpStatusCode.OK);
        (await CallAsync(app, DefaultsApp.Token)).ShouldBe(HttpStatusCode.Unauthorized);
    }

    [Fact]
    public async Task Without_a_configured_token_nobody_is_internal()
    {
        await using var app = await StartAsync(new() { ["InternalToken"] = "" });
        (await CallAsync(app, "")).ShouldBe(HttpStatusCode.Unauthorized);
        (await CallAsync(app, DefaultsApp.Token)).ShouldBe(HttpStatusCode.Unauthorized);
    }

    private static Task<TestApp> StartAsync(Dictionary<string, string?>? settings = null) => DefaultsApp.StartAsync(
        app => app.MapPost("/internal", (Dictionary<string, string> body) => body).RequireInternalToken(), settings: settings);

    private static async Task<HttpStatusCode> CallAsync(TestApp app, string? token)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/internal") { Content = DefaultsApp.Json("{}") };
        if (token is not null)
        {
            request.Headers.TryAddWithoutValidation("X-Internal-Token", token);
        }

        using var response = await app.Client.SendAsync(request);
        return response.StatusCode;
    }
}
