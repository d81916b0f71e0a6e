using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Tests;

public sealed class ApiDescriptionTests
{
    [Fact]
    public async Task Every_operation_is_described_with_its_errors()
    {
        await using var app = await DefaultsApp.StartAsync(app =>
        {
            app.MapPost("/things/{id}", (Guid id, Dictionary<string, string> body) => body).WithName("ChangeThing").WithSummary("Changes a thing.");
            app.MapGet("/internal", () => "x").WithName("GetInternal").RequireInternalToken();
        });
        var document = await app.Client.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        var paths = document.GetProperty("paths");

        var change = paths.GetProperty("/things/{id}").GetProperty("post");
        change.GetProperty("operationId").GetString().ShouldBe("ChangeThing");
        change.GetProperty("summary").GetString().ShouldBe("Changes a thing.");
        change.GetProperty("responses").EnumerateObject().Select(response => response.Name).ShouldBe(["200", "400", "413", "415", "503"], ignoreOrder: true);

        var read = paths.GetProperty("/internal").GetProperty("get");
        read.GetProperty("responses").TryGetProperty("401", out _).ShouldBeTrue();
        read.GetProperty("security")[0].TryGetProperty("internalToken", out _).ShouldBeTrue();
        foreach (var probe in (string[])["/alive", "/ready", "/health"])
        {
            paths.GetProperty(probe).GetProperty("get").GetProperty("summary").GetString().ShouldNotBeNullOrEmpty();
        }
    }
}
