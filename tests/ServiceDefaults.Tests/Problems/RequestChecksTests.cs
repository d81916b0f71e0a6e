using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Problems;

public sealed class RequestChecksTests : IAsyncLifetime
{
    private TestApp _app = null!;

    public async ValueTask InitializeAsync() => _app = await DefaultsApp.StartAsync(app =>
    {
        app.MapPost("/orders", (Order order) => TypedResults.Ok(order));
        app.MapPost("/positional", (Positional body) => TypedResults.Ok(body));
        app.MapPost("/optional", ([FromBody(EmptyBodyBehavior = Microsoft.AspNetCore.Mvc.ModelBinding.EmptyBodyBehavior.Allow)] Order? order) => TypedResults.Ok(order is null ? "none" : "some"));
        app.MapGet("/items/{id}", (Guid id, int page, DateTimeOffset? since) => TypedResults.Ok(new { id, page, since }));
        app.MapGet("/names/{name}", (string name, string? search) => TypedResults.Ok(new { name, search }));
    });

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    [Fact]
    public async Task A_right_body_arrives_as_it_was_sent()
    {
        const string json = """{"name":"Tea 🍵","price":1.50,"lines":[{"sku":"a","quantity":2}],"size":"large","settings":{"color":"#ffffff","n":1}}""";
        using var response = await _app.Client.PostAsync("/orders", DefaultsApp.Json(json));
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        var order = JsonSerializer.Deserialize<JsonElement>(await response.Content.ReadAsStringAsync());
        order.GetProperty("name").GetString().ShouldBe("Tea 🍵");
        order.GetProperty("size").GetString().ShouldBe("large");
        order.GetProperty("settings").GetProperty("n").GetInt32().ShouldBe(1);
        order.TryGetProperty("nickname", out _).ShouldBeFalse();
    }

    [Fact]
    public async Task Every_bad_field_is_named_at_once()
    {
        const string json = """
            {"price":"12","lines":[{"sku":null,"quantity":"x"},{"quantity":1,"colour":"red"},7],"size":"huge","settings":{"a":"x\u0000y","b":[{"c":"\u0000"}]},
             "nickname":null,"unknown":{"deep":1},"size":"small"}
            """;
        using var response = await _app.Client.PostAsync("/orders", DefaultsApp.Json(json));
        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        var problem = await response.ReadProblemAsync();
        var errors = problem.Errors();
        errors.Keys.ShouldBe(
            ["name", "price", "lines[0].sku", "lines[0].quantity", "lines[1].sku", "lines[1].colour", "lines[2]", "size", "settings.a", "settings.b[0].c", "unknown"],
            ignoreOrder: true);
        errors["name"].ShouldBe(["is required"]);
        errors["price"].ShouldBe(["must be a number"]);
        errors["lines[0].sku"].ShouldBe(["must not be null"]);
        errors["lines[0].quantity"].ShouldBe(["must be a whole number in range"]);
        errors["lines[1].colour"].ShouldBe(["is not a known field"]);
        errors["lines[2]"].ShouldBe(["must be an object"]);
        errors["size"].ShouldBe(["must be one of small, large", "is given more than once"]);
        errors["settings.a"].ShouldBe(["must not contain the NUL character"]);
        problem.GetProperty("detail").GetString()!.ShouldContain("unknown is not a known field");
    }

    [Theory]
    [InlineData("{", "body", "is not valid JSON (line 1, byte 2)")]
    [InlineData("", "body", "is required")]
    [InlineData("null", "body", "must not be null")]
    [InlineData("[]", "body", "must be an object")]
    [InlineData("\"x\"", "body", "must be an object")]
    public async Task A_body_that_is_no_object_is_said_to_be_none(string json, string field, string rule)
    {
        using var response = await _app.Client.PostAsync("/orders", DefaultsApp.Json(json));
        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await response.ReadProblemAsync()).Errors()[field].ShouldBe([rule]);
    }

    [Fact]
    public async Task Positional_records_are_checked_too()
    {
        using var response = await _app.Client.PostAsync("/positional", DefaultsApp.Json("""{"count":1.5,"note":null,"owner":null}"""));
        var errors = (await response.ReadProblemAsync()).Errors();
        errors.Keys.ShouldBe(["count", "owner", "id"], ignoreOrder: true);
        errors["id"].ShouldBe(["is required"]);
        errors["owner"].ShouldBe(["must not be null"]);
    }

    [Fact]
    public async Task An_optional_body_may_be_absent()
    {
        using var response = await _app.Client.PostAsync("/optional", null);
        (await response.Content.ReadAsStringAsync()).ShouldBe("\"none\"");
    }

    [Fact]
    public async Task Every_bad_route_and_query_value_is_named_at_once()
    {
        using var response = await _app.Client.GetAsync("/items/7?page=two&since=yesterday");
        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        var errors = (await response.ReadProblemAsync()).Errors();
        errors.Keys.ShouldBe(["id", "page", "since"], ignoreOrder: true);
        errors["id"].ShouldBe(["must be a UUID"]);
    }

    [Fact]
    public async Task A_missing_query_value_is_named()
    {
        using var response = await _app.Client.GetAsync($"/items/{Guid.Empty}");
        (await response.ReadProblemAsync()).Errors()["page"].ShouldBe(["is required"]);
    }

    [Theory]
    [InlineData("/names/a%00b", "name")]
    [InlineData("/names/a?search=%00", "search")]
    public async Task A_NUL_character_is_refused_in_routes_and_queries(string path, string field)
    {
        using var response = await _app.Client.GetAsync(path);
        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        if (response.Content.Headers.ContentType?.MediaType == "application/problem+json")
        {
            (await response.ReadProblemAsync()).Errors()[field].ShouldBe(["must not contain the NUL character"]);
        }
    }

    [Fact]
    public async Task A_body_of_another_type_is_a_415()
    {
        using var response = await _app.Client.PostAsync("/orders", DefaultsApp.Json("name=x", "application/x-www-form-urlencoded"));
        response.StatusCode.ShouldBe(HttpStatusCode.UnsupportedMediaType);
        await response.ReadProblemAsync();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_body_over_the_limit_is_a_413(bool chunked)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/orders") { Content = DefaultsApp.Json($$"""{"name":"{{new string('x', 1024 * 1024)}}"}""") };
        request.Headers.TransferEncodingChunked = chunked;
        request.Headers.ExpectContinue = true;
        using var response = await _app.Client.SendAsync(request);
        response.StatusCode.ShouldBe(HttpStatusCode.RequestEntityTooLarge);
        (await response.ReadProblemAsync()).GetProperty("detail").GetString()!.ShouldStartWith("The request's body is too large");
    }

    internal sealed record Order
    {
        public required string Name { get; init; }

        public decimal Price { get; init; }

        public IReadOnlyList<Line> Lines { get; init; } = [];

        public Size Size { get; init; }

        public Dictionary<string, JsonElement> Settings { get; init; } = [];

        public string? Nickname { get; init; }
    }

    internal sealed record Line(string Sku, int Quantity);

    internal sealed record Positional(Guid Id, int Count, string Owner, string? Note = null);

    internal enum Size
    {
        Small,
        Large,
    }
}
