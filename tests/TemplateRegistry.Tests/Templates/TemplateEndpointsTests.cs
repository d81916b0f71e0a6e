using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Dapper;
using Platform.TemplateRegistry.Tests.Bundles;
using Platform.Templates;

namespace Platform.TemplateRegistry.Tests.Templates;

public sealed class TemplateEndpointsTests(RunningRegistry registry) : IClassFixture<RunningRegistry>
{
    [Fact]
    public async Task A_published_version_can_be_read_with_its_parameters()
    {
        var bundle = new TestBundle("readable");
        var zip = bundle.Zip();

        var before = await DatabaseTimeAsync();
        using var response = await registry.PutAsync("readable", "1.0.0", zip);
        var after = await DatabaseTimeAsync();

        response.StatusCode.ShouldBe(HttpStatusCode.Created);
        response.Headers.Location!.ToString().ShouldBe("/templates/readable/versions/1.0.0");
        var version = await registry.Internal.GetFromJsonAsync<JsonObject>("/templates/readable/versions/1.0.0");
        JsonNode.DeepEquals(version, await response.Content.ReadFromJsonAsync<JsonObject>()).ShouldBeTrue();
        version!["name"]!.GetValue<string>().ShouldBe("readable");
        version["version"]!.GetValue<string>().ShouldBe("1.0.0");
        version["title"]!.GetValue<string>().ShouldBe("Tiny");
        version["status"]!.GetValue<string>().ShouldBe("published");
        version["size"]!.GetValue<int>().ShouldBe(zip.Length);
        version["digest"]!.GetValue<string>().ShouldBe(BundleDigest.Of(zip).ToString());
        version["publishedAt"]!.GetValue<DateTimeOffset>().ShouldBeInRange(before, after);
        var choice = version["parameters"]!.AsArray().Single(p => (string)p!["name"]! == "mood")!;
        choice.ToJsonString().ShouldBe(
            """{"name":"mood","type":"choice","label":"Mood","required":false,"default":"calm","choices":[{"value":"calm","label":"Calm"},{"value":"loud","label":"Loud"}]}""");
    }

    [Fact]
    public async Task Publishing_the_same_bundle_again_is_200_and_another_one_409()
    {
        var bundle = new TestBundle("immutable");
        (await registry.PutAsync(bundle)).StatusCode.ShouldBe(HttpStatusCode.Created);

        (await registry.PutAsync(bundle)).StatusCode.ShouldBe(HttpStatusCode.OK);
        using var conflict = await registry.PutAsync(bundle.WithIndex("other"));

        conflict.StatusCode.ShouldBe(HttpStatusCode.Conflict);
        (await ProblemOf(conflict))["detail"]!.GetValue<string>().ShouldContain("a version never changes");
        (await CountBundles()).ShouldBe(await CountVersionDigests());
    }

    [Fact]
    public async Task Of_concurrent_publishes_of_different_bundles_as_one_version_one_wins()
    {
        var attempts = await Task.WhenAll(Enumerable.Range(0, 12).Select(async i =>
            (await registry.PutAsync(new TestBundle("contested").WithIndex($"bundle {i}"))).StatusCode));

        attempts.Count(s => s == HttpStatusCode.Created).ShouldBe(1);
        attempts.Count(s => s == HttpStatusCode.Conflict).ShouldBe(11);
    }

    [Fact]
    public async Task Concurrent_publishes_of_the_same_bundle_create_it_once_and_all_succeed()
    {
        var zip = new TestBundle("shared").Zip();

        var attempts = await Task.WhenAll(Enumerable.Range(0, 12).Select(async _ => (await registry.PutAsync("shared", "1.0.0", zip)).StatusCode));

        attempts.Count(s => s == HttpStatusCode.Created).ShouldBe(1);
        attempts.Count(s => s == HttpStatusCode.OK).ShouldBe(11);
    }

    [Fact]
    public async Task After_concurrent_publishes_the_highest_version_is_the_latest()
    {
        var published = await Task.WhenAll(Enumerable.Range(1, 10).Select(async i => (await registry.PutAsync(new TestBundle("growing", $"1.{i}.0"))).StatusCode));

        var template = await registry.Internal.GetFromJsonAsync<JsonObject>("/templates/growing");

        published.ShouldAllBe(status => status == HttpStatusCode.Created);
        template!["latestVersion"]!.GetValue<string>().ShouldBe("1.10.0");
        template["versions"]!.AsArray().Select(v => (string)v!["version"]!).ShouldBe(Enumerable.Range(1, 10).Reverse().Select(i => $"1.{i}.0"));
    }

    [Fact]
    public async Task The_number_of_shops_using_a_template_is_the_last_one_reported_with_the_token()
    {
        await registry.PutAsync(new TestBundle("counted"));
        using var stranger = await registry.Public.PutAsJsonAsync("/templates/counted/usage", new { shops = 7 });
        stranger.StatusCode.ShouldBe(HttpStatusCode.Unauthorized);

        using var reported = await registry.Internal.PutAsJsonAsync("/templates/counted/usage", new { shops = 3 });
        reported.StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await registry.Internal.GetFromJsonAsync<JsonObject>("/templates/counted"))!["shops"]!.GetValue<int>().ShouldBe(3);

        using var negative = await registry.Internal.PutAsJsonAsync("/templates/counted/usage", new { shops = -1 });
        negative.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        using var unknown = await registry.Internal.PutAsJsonAsync("/templates/no-such-template/usage", new { shops = 1 });
        unknown.StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_deprecated_version_stays_listed_and_is_no_longer_the_latest()
    {
        await registry.PutAsync(new TestBundle("ageing", "1.0.0"));
        await registry.PutAsync(new TestBundle("ageing", "2.0.0"));

        using var response = await registry.Internal.PostAsync("/templates/ageing/versions/2.0.0/deprecate", null);

        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await response.Content.ReadFromJsonAsync<JsonObject>())!["status"]!.GetValue<string>().ShouldBe("deprecated");
        var template = await registry.Internal.GetFromJsonAsync<JsonObject>("/templates/ageing");
        template!["latestVersion"]!.GetValue<string>().ShouldBe("1.0.0");
        template["versions"]!.AsArray().Select(v => $"{v!["version"]} {v["status"]}").ShouldBe(["2.0.0 deprecated", "1.0.0 published"]);

        await registry.Internal.PostAsync("/templates/ageing/versions/1.0.0/deprecate", null);
        var onlyDeprecated = await registry.Internal.GetFromJsonAsync<JsonObject>("/templates/ageing");
        onlyDeprecated!["latestVersion"].ShouldBeNull();
        onlyDeprecated["title"]!.GetValue<string>().ShouldBe("Tiny");
    }

    [Fact]
    public async Task A_yanked_version_is_not_listed_but_available_by_version_and_digest()
    {
        var zip = new TestBundle("yanked").Zip();
        await registry.PutAsync("yanked", "1.0.0", zip);

        (await registry.Internal.DeleteAsync("/templates/yanked/versions/1.0.0")).StatusCode.ShouldBe(HttpStatusCode.OK);

        (await registry.Internal.GetAsync("/templates/yanked")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await NamesOf("/templates?search=yanked")).ShouldBeEmpty();
        var version = await registry.Internal.GetFromJsonAsync<JsonObject>("/templates/yanked/versions/1.0.0");
        version!["status"]!.GetValue<string>().ShouldBe("yanked");
        (await registry.Internal.GetByteArrayAsync($"/bundles/{version["digest"]}")).ShouldBe(zip);
        // Publishing or deprecating it doesn't make it available again.
        (await registry.PutAsync("yanked", "1.0.0", zip)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await registry.Internal.PostAsync("/templates/yanked/versions/1.0.0/deprecate", null);
        (await registry.Internal.GetFromJsonAsync<JsonObject>("/templates/yanked/versions/1.0.0"))!["status"]!.GetValue<string>().ShouldBe("yanked");
        (await registry.Internal.DeleteAsync("/templates/yanked/versions/1.0.0")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Search_finds_templates_by_name_title_and_description_ignoring_case()
    {
        var bundle = new TestBundle("needle-a");
        bundle.Manifest["title"] = "100% Straw_berry";
        bundle.Manifest["description"] = "Full of Haystacks";
        await registry.PutAsync(bundle);

        (await NamesOf("/templates?search=NEEDLE-A")).ShouldBe(["needle-a"]);
        (await NamesOf("/templates?search=straw_BERRY")).ShouldBe(["needle-a"]);
        (await NamesOf("/templates?search=haystacks")).ShouldBe(["needle-a"]);
        (await NamesOf("/templates?search=100%25%20s")).ShouldBe(["needle-a"]);
        (await NamesOf("/templates?search=100_")).ShouldBeEmpty();
        (await NamesOf("/templates?search=%20%20")).ShouldContain("needle-a");
    }

    [Fact]
    public async Task Pages_have_no_gaps_or_overlaps()
    {
        for (var i = 0; i < 5; i++)
            await registry.PutAsync(new TestBundle($"paged-{i}"));

        var seen = new List<string>();
        string? cursor = null;
        do
        {
            var page = await registry.Internal.GetFromJsonAsync<JsonObject>($"/templates?search=paged-&limit=2&cursor={cursor}");
            seen.AddRange(page!["items"]!.AsArray().Select(t => (string)t!["name"]!));
            cursor = (string?)page["nextCursor"];
        }
        while (cursor is not null);

        seen.ShouldBe(["paged-0", "paged-1", "paged-2", "paged-3", "paged-4"]);
    }

    [Theory]
    [InlineData("/templates?limit=0", "limit")]
    [InlineData("/templates?limit=101", "limit")]
    [InlineData("/templates?limit=many", "limit")]
    [InlineData("/templates?cursor=nonsense", "cursor")]
    public async Task An_invalid_query_parameter_is_named_in_the_error(string address, string field)
    {
        using var response = await registry.Internal.GetAsync(address);

        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await ProblemOf(response))["errors"]!.AsObject().Select(e => e.Key).ShouldBe([field]);
    }

    [Fact]
    public async Task A_search_that_is_too_long_is_refused() =>
        (await ProblemOf(await registry.Internal.GetAsync($"/templates?search={new string('a', 101)}")))["errors"]!["search"].ShouldNotBeNull();

    [Theory]
    [InlineData("/templates/nowhere")]
    [InlineData("/templates/aurora/versions/9.9.9")]
    [InlineData("/templates/%F0%9F%8D%B0")]
    [InlineData("/templates/aurora/versions/..%2F..")]
    public async Task Unknown_templates_and_versions_are_404_problems(string address)
    {
        using var response = await registry.Internal.GetAsync(address);

        response.StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await ProblemOf(response))["status"]!.GetValue<int>().ShouldBe(404);
    }

    [Theory]
    [InlineData("deprecate")]
    [InlineData("")]
    public async Task Unknown_versions_can_not_be_deprecated_or_yanked(string action)
    {
        using var request = new HttpRequestMessage(action.Length > 0 ? HttpMethod.Post : HttpMethod.Delete, $"/templates/aurora/versions/9.9.9/{action}".TrimEnd('/'));

        (await registry.Internal.SendAsync(request)).StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Changes_without_the_token_are_refused()
    {
        var zip = new TestBundle("private").Zip();

        (await registry.Public.PutAsync("/templates/private/versions/1.0.0", RunningRegistry.Zip(zip))).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await registry.Public.PostAsync("/templates/aurora/versions/2.0.0/deprecate", null)).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await registry.Public.DeleteAsync("/templates/aurora/versions/2.0.0")).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);

        (await registry.Internal.GetAsync("/templates/private/versions/1.0.0")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await registry.Internal.GetFromJsonAsync<JsonObject>("/templates/aurora"))!["latestVersion"]!.GetValue<string>().ShouldBe("2.0.0");
    }

    [Fact]
    public async Task An_invalid_bundle_is_refused_with_entries_and_reasons_and_not_stored()
    {
        var before = await CountBundles();

        using var response = await registry.PutAsync(new TestBundle("bad").With("../evil.css", "x").With("assets/a.png", "<script>"));

        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        var errors = (await ProblemOf(response))["errors"]!;
        errors["../evil.css"]![0]!.GetValue<string>().ShouldContain("..");
        (await registry.Internal.GetAsync("/templates/bad/versions/1.0.0")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (await CountBundles()).ShouldBe(before);
    }

    [Fact]
    public async Task An_invalid_template_is_refused_with_its_line()
    {
        using var response = await registry.PutAsync(new TestBundle("broken").WithIndex("<p>\n{% if products %}"));

        (await ProblemOf(response))["errors"]!["pages/index.liquid"]![0]!.GetValue<string>().ShouldStartWith("line 2: ");
    }

    [Fact]
    public async Task A_bundle_whose_name_or_version_differs_from_the_address_is_refused()
    {
        using var response = await registry.PutAsync("somebody", "2.0.0", new TestBundle("else").Zip());

        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        (await ProblemOf(response))["errors"]!["template.json"]!.AsArray().Count.ShouldBe(2);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_bundle_of_more_than_50_MiB_is_too_large(bool chunked)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, "/templates/large/versions/1.0.0") { Content = RunningRegistry.Zip(new byte[BundleArchive.MaxBundleSize + 1]) };
        request.Headers.TransferEncodingChunked = chunked;
        request.Headers.ExpectContinue = true;

        using var response = await registry.Internal.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.RequestEntityTooLarge);
        (await ProblemOf(response))["status"]!.GetValue<int>().ShouldBe(413);
    }

    [Fact]
    public async Task A_bundle_of_nearly_50_MiB_is_accepted()
    {
        var bundle = new TestBundle("heavy") { Stored = true };
        var image = new byte[9 * 1024 * 1024];
        new Random(1).NextBytes(image);
        new byte[] { 0xFF, 0xD8, 0xFF }.CopyTo(image, 0);
        bundle.With("assets/large.jpg", image);

        (await registry.PutAsync(bundle)).StatusCode.ShouldBe(HttpStatusCode.Created);

        (await registry.Internal.GetByteArrayAsync("/templates/heavy/versions/1.0.0/bundle")).ShouldBe(bundle.Zip());
    }

    [Fact]
    public async Task A_body_with_another_content_type_than_zip_is_415()
    {
        using var content = JsonContent.Create(new { name = "json" });

        using var response = await registry.Internal.PutAsync("/templates/json/versions/1.0.0", content);

        response.StatusCode.ShouldBe(HttpStatusCode.UnsupportedMediaType);
        (await ProblemOf(response))["status"]!.GetValue<int>().ShouldBe(415);
    }

    [Fact]
    public async Task The_OpenAPI_document_has_name_summary_and_errors_of_every_operation()
    {
        var document = await registry.Internal.GetFromJsonAsync<JsonObject>("/openapi/v1.json");

        var operations = document!["paths"]!.AsObject()
            .Where(path => path.Key.StartsWith("/templates", StringComparison.Ordinal) || path.Key.StartsWith("/bundles", StringComparison.Ordinal))
            .SelectMany(path => path.Value!.AsObject().Where(o => o.Value is JsonObject).Select(o => (Route: $"{o.Key} {path.Key}", Operation: o.Value!))).ToList();
        operations.Select(o => o.Route).Order(StringComparer.Ordinal).ShouldBe(
        [
            "delete /templates/{name}/versions/{version}",
            "get /bundles/{digest}",
            "get /templates",
            "get /templates/{name}",
            "get /templates/{name}/versions/{version}",
            "get /templates/{name}/versions/{version}/bundle",
            "post /templates/{name}/versions/{version}/deprecate",
            "put /templates/{name}/usage",
            "put /templates/{name}/versions/{version}",
        ]);
        foreach (var (route, operation) in operations)
        {
            operation["operationId"].ShouldNotBeNull(route);
            operation["summary"].ShouldNotBeNull(route);
            operation["responses"]!["503"].ShouldNotBeNull(route);
        }
        operations.Select(o => (string)o.Operation["operationId"]!).ShouldBeUnique();
        var put = operations.Single(o => o.Route == "put /templates/{name}/versions/{version}").Operation;
        put["responses"]!.AsObject().Select(r => r.Key).ShouldBe(["200", "201", "400", "401", "409", "413", "415", "503"], ignoreOrder: true);
        put["requestBody"]!["content"]!["application/zip"].ShouldNotBeNull();
    }

    private async Task<List<string>> NamesOf(string address) =>
        [.. (await registry.Internal.GetFromJsonAsync<JsonObject>(address))!["items"]!.AsArray().Select(t => (string)t!["name"]!)];

    private static async Task<JsonObject> ProblemOf(HttpResponseMessage response) =>
        (await JsonSerializer.DeserializeAsync<JsonObject>(await response.Content.ReadAsStreamAsync()))!;

    // Stored times come from the database's clock.
    private async Task<DateTimeOffset> DatabaseTimeAsync() =>
        new(await registry.Database.DataSource.CreateConnection().ExecuteScalarAsync<DateTime>("select clock_timestamp()"), TimeSpan.Zero);

    private async Task<long> CountBundles() => await registry.Database.DataSource.CreateConnection().ExecuteScalarAsync<long>("select count(*) from bundles");

    private async Task<long> CountVersionDigests() =>
        await registry.Database.DataSource.CreateConnection().ExecuteScalarAsync<long>("select count(distinct digest) from template_versions");
}
