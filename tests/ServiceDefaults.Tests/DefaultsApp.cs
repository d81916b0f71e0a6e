using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests;

/// <summary>Starts a service that has the defaults and the endpoints of the test.</summary>
internal static class DefaultsApp
{
    public const string Token = "token-of-the-tests";

    public static Task<TestApp> StartAsync(
        Action<WebApplication> map,
        Action<WebApplicationBuilder>? configure = null,
        Dictionary<string, string?>? settings = null,
        string environment = "Development") =>
        TestApp.StartAsync(
            builder =>
            {
                builder.AddServiceDefaults();
                configure?.Invoke(builder);
            },
            app =>
            {
                app.UseServiceDefaults();
                app.MapDefaultEndpoints();
                map(app);
            },
            new Dictionary<string, string?>(settings ?? []) { ["InternalToken"] = settings?.GetValueOrDefault("InternalToken") ?? (settings?.ContainsKey("InternalToken:0") == true ? null : Token) },
            environment);

    public static StringContent Json(string json, string mediaType = "application/json") => new(json, Encoding.UTF8, mediaType);

    public static async Task<JsonElement> ReadProblemAsync(this HttpResponseMessage response)
    {
        response.Content.Headers.ContentType?.MediaType.ShouldBe("application/problem+json");
        var problem = await response.Content.ReadFromJsonAsync<JsonElement>();
        problem.GetProperty("status").GetInt32().ShouldBe((int)response.StatusCode);
        problem.GetProperty("title").GetString().ShouldNotBeNullOrEmpty();
        problem.GetProperty("traceId").GetString()!.Length.ShouldBe(32);
        problem.GetProperty("correlationId").GetString().ShouldBe(response.Headers.GetValues("X-Correlation-ID").Single());
        return problem;
    }

    public static Dictionary<string, string[]> Errors(this JsonElement problem) =>
        problem.GetProperty("errors").Deserialize<Dictionary<string, string[]>>()!;
}
