using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;

namespace Platform.AppHost.Tests;

[Collection(nameof(RunningPlatform))]
public sealed class HostileInputTests(RunningPlatform platform)
{
    private readonly PlatformClient _client = platform.Client;

    [Fact]
    public async Task A_script_as_the_name_of_a_shop_is_text_in_the_store()
    {
        const string Name = "<script>alert(1)</script>";
        var store = await _client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug(), Name));

        var html = await _client.Stores.GetStringAsync(store, Cancel);
        html.ShouldContain("&lt;script&gt;alert(1)&lt;/script&gt;");
        html.ShouldNotContain(Name);
        (await _client.Backend.GetStringAsync("/", Cancel)).ShouldNotContain(Name);
    }

    [Theory]
    [InlineData("🛒")]
    [InlineData("<script>alert(1)</script>")]
    [InlineData("../../etc")]
    [InlineData("UPPER")]
    [InlineData("api")]
    [InlineData("")]
    public async Task A_slug_that_is_no_slug_is_refused_by_name(string slug) =>
        (await RefusedAsync(PlatformClient.Shop(slug), HttpStatusCode.BadRequest))["errors"]!["slug"].ShouldNotBeNull();

    [Fact]
    public async Task An_unknown_field_is_refused_by_name()
    {
        var shop = PlatformClient.Shop(PlatformClient.NewSlug());
        shop["colour"] = "red";

        (await RefusedAsync(shop, HttpStatusCode.BadRequest))["errors"]!["colour"].ShouldNotBeNull();
    }

    [Fact]
    public async Task A_NUL_character_is_refused_and_the_field_named()
    {
        var slug = PlatformClient.NewSlug();

        (await RefusedAsync(PlatformClient.Shop(slug, "a\0b"), HttpStatusCode.BadRequest))["errors"]!["name"].ShouldNotBeNull();
        await NothingStoredAsync(slug);
    }

    [Fact]
    public async Task Every_wrong_field_is_named_at_once()
    {
        var shop = PlatformClient.Shop("🛒", "");
        shop["products"]![0]!["price"] = -1;

        var errors = (await RefusedAsync(shop, HttpStatusCode.BadRequest))["errors"]!.AsObject();
        errors.Select(error => error.Key).ShouldBe(["slug", "name", "products[0].price"], ignoreOrder: true);
    }

    [Fact]
    public async Task A_body_of_10_MB_is_too_large()
    {
        var slug = PlatformClient.NewSlug();
        using var body = new StringContent(PlatformClient.Shop(slug, new string('x', 10_000_000)).ToJsonString(), Encoding.UTF8, "application/json");
        using var response = await _client.Backend.PostAsync("/api/shops", body, Cancel);

        await ShouldBeProblemAsync(response, HttpStatusCode.RequestEntityTooLarge);
        await NothingStoredAsync(slug);
    }

    [Theory]
    [InlineData("{\"slug\":")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("")]
    public async Task A_body_that_does_not_parse_is_refused(string body)
    {
        using var response = await _client.Backend.PostAsync("/api/shops", new StringContent(body, Encoding.UTF8, "application/json"), Cancel);
        await ShouldBeProblemAsync(response, HttpStatusCode.BadRequest);
    }

    [Fact]
    public async Task A_PUT_without_If_Match_changes_nothing()
    {
        var shop = PlatformClient.Shop(PlatformClient.NewSlug(), "As it was");
        var id = await _client.CreateShopAsync(shop);
        shop["name"] = "Overwritten";

        using var blind = await _client.Backend.PutAsJsonAsync($"/api/shops/{id}", shop, Cancel);
        await ShouldBeProblemAsync(blind, HttpStatusCode.PreconditionRequired);

        using var stale = new HttpRequestMessage(HttpMethod.Put, $"/api/shops/{id}") { Content = JsonContent.Create(shop) };
        stale.Headers.IfMatch.Add(new EntityTagHeaderValue("\"4711\""));
        using var refused = await _client.Backend.SendAsync(stale, Cancel);
        await ShouldBeProblemAsync(refused, HttpStatusCode.PreconditionFailed);

        (await _client.Backend.GetFromJsonAsync<JsonObject>($"/api/shops/{id}", Cancel))!["name"]!.GetValue<string>().ShouldBe("As it was");
    }

    [Theory]
    [InlineData("../../escape.hbs")]
    [InlineData("/etc/passwd")]
    [InlineData("pages\\..\\..\\escape.hbs")]
    public async Task A_template_that_reaches_out_of_itself_is_refused_and_the_entry_named(string entry)
    {
        var problem = await PublishRefusedAsync("traversal", Zip((entry, "harmless"u8.ToArray())), HttpStatusCode.BadRequest);
        problem.ToJsonString().ShouldContain("escape.hbs".Length > entry.Length ? "passwd" : entry.Split('/', '\\')[^1]);
    }

    [Theory]
    [InlineData(15, "assets/bomb.txt")]    // small enough in all: the entry gives itself away by its ratio
    [InlineData(100, "unzipped")]
    public async Task A_zip_bomb_is_refused(int megabytes, string named)
    {
        var bomb = Zip(("assets/bomb.txt", new byte[megabytes * 1024 * 1024]));
        bomb.Length.ShouldBeLessThan(1024 * 1024);

        (await PublishRefusedAsync("bomb", bomb, HttpStatusCode.BadRequest)).ToJsonString().ShouldContain(named);
    }

    [Fact]
    public async Task What_is_not_a_zip_is_no_template() =>
        await PublishRefusedAsync("nonsense", "not a zip at all"u8.ToArray(), HttpStatusCode.BadRequest);

    private static byte[] Zip(params (string Name, byte[] Content)[] entries)
    {
        const string Manifest = """
            {"name":"NAME","version":"1.0.0","title":"T","description":"D","parameters":[],
             "pages":[{"path":"index.html","template":"pages/index.liquid"},{"path":"404.html","template":"pages/404.liquid"}]}
            """;
        using var buffer = new MemoryStream();
        using (var zip = new ZipArchive(buffer, ZipArchiveMode.Create))
        {
            foreach (var (name, content) in entries.Concat(
                [("template.json", Encoding.UTF8.GetBytes(Manifest)), ("pages/index.liquid", "<p>{{shop.name}}</p>"u8.ToArray()), ("pages/404.liquid", "<p>?</p>"u8.ToArray())]))
            {
                using var stream = zip.CreateEntry(name, CompressionLevel.SmallestSize).Open();
                stream.Write(content);
            }
        }

        return buffer.ToArray();
    }

    private async Task<JsonObject> PublishRefusedAsync(string name, byte[] bundle, HttpStatusCode status)
    {
        using var content = new ByteArrayContent(bundle) { Headers = { ContentType = new("application/zip") } };
        using var response = await _client.Backend.PutAsync($"/api/templates/{name}/versions/1.0.0", content, Cancel);
        var problem = await ShouldBeProblemAsync(response, status);

        using var missing = await _client.Backend.GetAsync($"/api/templates/{name}", Cancel);
        missing.StatusCode.ShouldBe(HttpStatusCode.NotFound);
        return problem;
    }

    private async Task<JsonObject> RefusedAsync(JsonObject shop, HttpStatusCode status)
    {
        using var response = await _client.Backend.PostAsJsonAsync("/api/shops", shop, Cancel);
        return await ShouldBeProblemAsync(response, status);
    }

    private async Task NothingStoredAsync(string slug) =>
        // The slug is free still: whoever takes it now is the first.
        await _client.CreateShopAsync(PlatformClient.Shop(slug));

    private static async Task<JsonObject> ShouldBeProblemAsync(HttpResponseMessage response, HttpStatusCode status)
    {
        var body = await response.Content.ReadAsStringAsync(Cancel);
        response.StatusCode.ShouldBe(status, body);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        var problem = JsonNode.Parse(body)!.AsObject();
        problem["status"]!.GetValue<int>().ShouldBe((int)status);
        problem["traceId"].ShouldNotBeNull();
        problem["correlationId"].ShouldNotBeNull();
        return problem;
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
