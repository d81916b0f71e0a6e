using System.Net;

namespace Platform.Backend.Tests;

public sealed class OpenApiTests(BackendHost backend) : IClassFixture<BackendHost>
{
    private static readonly string[] Contract =
    [
        "get /api/templates", "get /api/templates/{name}", "get /api/templates/{name}/versions/{version}", "put /api/templates/{name}/versions/{version}",
        "post /api/shops", "get /api/shops", "get /api/shops/{id}", "put /api/shops/{id}", "delete /api/shops/{id}",
        "post /api/shops/{id}/deployments", "get /api/shops/{id}/deployments", "post /api/shops/{id}/rollback",
        "get /api/deployments/{id}", "get /api/deployments/{id}/status", "get /api/deployments/{id}/events",
        "post /api/deployments/{id}/cancel", "post /api/deployments/{id}/retry",
        "post /api/keys", "get /api/keys", "get /api/keys/{id}", "delete /api/keys/{id}", "post /api/owners", "get /api/owners", "get /api/owners/{id}",
        "get /api/status/services", "get /v1/api/status/services", "post /messages",
    ];

    [Fact]
    public async Task Every_operation_is_named_and_summarised_and_tells_its_errors()
    {
        var document = await (await backend.Client.GetAsync("/openapi/v1.json")).ReadAsync(HttpStatusCode.OK);
        var operations = document["paths"]!.AsObject()
            .SelectMany(path => path.Value!.AsObject().Select(operation => (Name: $"{operation.Key} {path.Key}".TrimEnd('/'), Operation: operation.Value!)))
            .ToDictionary(pair => pair.Name, pair => pair.Operation);

        Contract.Except(operations.Keys).ShouldBeEmpty();
        foreach (var (name, operation) in operations)
        {
            ((string?)operation["operationId"]).ShouldNotBeNullOrWhiteSpace(name);
            ((string?)operation["summary"]).ShouldNotBeNullOrWhiteSpace(name);
        }

        operations.Values.Select(operation => (string)operation["operationId"]!).ShouldBeUnique();
        Responses("post /api/shops").ShouldBe(["201", "400", "401", "403", "409", "413", "415", "422", "429", "503"], ignoreOrder: true);
        Responses("put /api/shops/{id}").ShouldBe(["200", "400", "401", "403", "404", "409", "412", "413", "415", "422", "428", "429", "503"], ignoreOrder: true);
        Responses("get /api/shops/{id}").ShouldBe(["200", "304", "400", "401", "403", "404", "429", "503"], ignoreOrder: true);
        Responses("post /api/shops/{id}/deployments").ShouldBe(["202", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"], ignoreOrder: true);

        Parameters("get /api/shops").ShouldBe(["cursor", "limit"]);
        Parameters("put /api/shops/{id}").ShouldBe(["id", "If-Match", "Idempotency-Key"], ignoreOrder: true);
        Parameters("get /api/deployments/{id}/events").ShouldBe(["id", "Last-Event-ID"], ignoreOrder: true);

        IEnumerable<string> Parameters(string operation) => operations[operation]["parameters"]!.AsArray().Select(parameter => (string)parameter!["name"]!);

        IEnumerable<string> Responses(string operation) => operations[operation]["responses"]!.AsObject().Select(response => response.Key);
    }
}
