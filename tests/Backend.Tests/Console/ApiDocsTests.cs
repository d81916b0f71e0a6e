using System.Net;
using AngleSharp.Html.Parser;

namespace Platform.Backend.Tests.Console;

public sealed class ApiDocsTests(BackendHost backend) : IClassFixture<BackendHost>
{
    [Fact]
    public async Task The_page_loads_everything_from_this_service()
    {
        using var stranger = backend.Connect(null);
        using var bare = await stranger.GetAsync("/api/docs");
        bare.StatusCode.ShouldBeOneOf(HttpStatusCode.MovedPermanently, HttpStatusCode.Redirect, HttpStatusCode.PermanentRedirect);
        var address = new Uri(new Uri(stranger.BaseAddress!, "/api/docs"), bare.Headers.Location!);
        address.AbsolutePath.ShouldBe("/api/docs/");

        using var response = await stranger.GetAsync(address);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        var html = await response.Content.ReadAsStringAsync();
        html.ShouldNotContain("://");
        html.ShouldContain("\"withDefaultFonts\":false");
        var policy = response.Headers.GetValues("Content-Security-Policy").Single();
        policy.ShouldStartWith("default-src 'none'; ");
        var scripts = new HtmlParser().ParseDocument(html).QuerySelectorAll("script");
        scripts.Length.ShouldBe(3);
        foreach (var script in scripts)
        {
            policy.ShouldContain($"'nonce-{script.GetAttribute("nonce")}'");
            if (script.GetAttribute("src") is { } source)
            {
                using var file = await stranger.GetAsync(new Uri(address, source));
                file.StatusCode.ShouldBe(HttpStatusCode.OK, source);
                file.Content.Headers.ContentType!.MediaType.ShouldBe("text/javascript");
            }
        }

        (await stranger.GetAsync("/openapi/v1.json")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_nonce_is_never_used_twice()
    {
        using var stranger = backend.Connect(null);
        var policies = new[] { await PolicyAsync(), await PolicyAsync() };
        policies[0].ShouldNotBe(policies[1]);

        async Task<string> PolicyAsync()
        {
            using var response = await stranger.GetAsync("/api/docs/");
            response.Headers.CacheControl!.NoStore.ShouldBeTrue();
            return response.Headers.GetValues("Content-Security-Policy").Single();
        }
    }
}
