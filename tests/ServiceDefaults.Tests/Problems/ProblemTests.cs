using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Problems;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Problems;

public sealed class ProblemTests : IAsyncLifetime
{
    private TestApp _app = null!;

    public async ValueTask InitializeAsync() => _app = await DefaultsApp.StartAsync(app =>
    {
        app.MapGet("/get-only", () => "here");
        app.MapGet("/broken", string () => throw new InvalidOperationException("the secret of the inside"));
        app.MapGet("/gone", () => Problem.Of(StatusCodes.Status410Gone, "It was here."));
        app.MapGet("/bare", () => TypedResults.NotFound());
        app.MapGet("/later", () => Problem.Unavailable("Not now.", TimeSpan.FromMilliseconds(1500)));
        app.MapGet("/dependency", string () => throw new DependencyUnavailableException("template-registry", new HttpRequestException("refused"), TimeSpan.FromSeconds(7)));
    });

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Theory]
    [InlineData("GET", "/nowhere", 404)]
    [InlineData("POST", "/get-only", 405)]
    [InlineData("GET", "/gone", 410)]
    [InlineData("GET", "/bare", 404)]
    public async Task Every_error_is_a_problem(string method, string path, int status)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        using var response = await _app.Client.SendAsync(request);
        ((int)response.StatusCode).ShouldBe(status);
        await response.ReadProblemAsync();
    }

    [Theory]
    [InlineData("/nowhere")]
    [InlineData("/broken")]
    [InlineData("/bare")]
    public async Task A_browser_gets_the_problem_too(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Accept.ParseAdd("text/html");
        using var response = await _app.Client.SendAsync(request);
        await response.ReadProblemAsync();
    }

    [Theory]
    [InlineData("Development")]
    [InlineData("Production")]
    public async Task A_500_tells_nothing_of_the_inside(string environment)
    {
        await using var app = await DefaultsApp.StartAsync(
            app => app.MapGet("/broken", string () => throw new InvalidOperationException("the secret of the inside")), environment: environment);
        using var response = await app.Client.GetAsync("/broken");
        response.StatusCode.ShouldBe(HttpStatusCode.InternalServerError);
        await response.ReadProblemAsync();
        var text = await response.Content.ReadAsStringAsync();
        text.ShouldNotContain("secret");
        text.ShouldNotContain("InvalidOperation");
    }

    [Fact]
    public async Task Unavailable_says_when_to_come_back_in_whole_seconds()
    {
        using var response = await _app.Client.GetAsync("/later");
        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(2));
        await response.ReadProblemAsync();
    }

    [Fact]
    public async Task A_dependency_that_is_down_is_a_503_that_nobody_above_retries()
    {
        using var response = await _app.Client.GetAsync("/dependency");
        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        response.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(7));
        response.Headers.GetValues("X-Should-Retry").ShouldBe(["false"]);
        (await response.ReadProblemAsync()).GetProperty("detail").GetString()!.ShouldContain("template-registry");
    }
}
