using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Platform.TemplateRegistry.Tests.Bundles;

public sealed class BundleEndpointsTests(RunningRegistry registry) : IClassFixture<RunningRegistry>
{
    private const string ByVersion = "/templates/aurora/versions/2.0.0/bundle";

    [Fact]
    public async Task A_bundle_has_its_digest_as_ETag_and_is_cacheable_and_immutable()
    {
        using var response = await registry.Internal.GetAsync(ByVersion);

        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        var content = await response.Content.ReadAsByteArrayAsync();
        response.Headers.ETag!.ToString().ShouldBe($"\"{DigestOf(content)}\"");
        response.Headers.CacheControl!.ToString().ShouldBe("max-age=31536000, private, immutable");
        response.Content.Headers.ContentType!.ToString().ShouldBe("application/zip");
        response.Content.Headers.ContentLength.ShouldBe(content.Length);
        response.Content.Headers.ContentDisposition!.FileName.ShouldBe("aurora-2.0.0.zip");
    }

    [Fact]
    public async Task A_bundle_can_be_downloaded_by_its_digest()
    {
        var content = await registry.Internal.GetByteArrayAsync(ByVersion);

        using var response = await registry.Internal.GetAsync($"/bundles/{DigestOf(content)}");

        (await response.Content.ReadAsByteArrayAsync()).ShouldBe(content);
        response.Headers.ETag!.ToString().ShouldBe($"\"{DigestOf(content)}\"");
        response.Headers.CacheControl!.ToString().ShouldBe("max-age=31536000, private, immutable");
    }

    [Theory]
    [InlineData("{0}")]
    [InlineData("W/{0}")]
    [InlineData("\"other\", {0}")]
    [InlineData("*")]
    public async Task A_matching_If_None_Match_gets_304(string ifNoneMatch)
    {
        var digest = DigestOf(await registry.Internal.GetByteArrayAsync(ByVersion));
        foreach (var address in new[] { ByVersion, $"/bundles/{digest}" })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address);
            request.Headers.TryAddWithoutValidation("If-None-Match", string.Format(System.Globalization.CultureInfo.InvariantCulture, ifNoneMatch, $"\"{digest}\""));

            using var response = await registry.Internal.SendAsync(request);

            response.StatusCode.ShouldBe(HttpStatusCode.NotModified);
            response.Headers.ETag!.ToString().ShouldBe($"\"{digest}\"");
            (await response.Content.ReadAsByteArrayAsync()).ShouldBeEmpty();
        }
    }

    [Fact]
    public async Task A_different_If_None_Match_gets_the_bundle()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, ByVersion);
        request.Headers.IfNoneMatch.Add(new EntityTagHeaderValue("\"other\""));

        (await registry.Internal.SendAsync(request)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task HEAD_returns_the_headers_without_the_content()
    {
        var content = await registry.Internal.GetByteArrayAsync(ByVersion);
        foreach (var address in new[] { ByVersion, $"/bundles/{DigestOf(content)}" })
        {
            using var response = await registry.Internal.SendAsync(new HttpRequestMessage(HttpMethod.Head, address));

            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            response.Content.Headers.ContentLength.ShouldBe(content.Length);
            response.Content.Headers.ContentType!.ToString().ShouldBe("application/zip");
            response.Headers.ETag!.ToString().ShouldBe($"\"{DigestOf(content)}\"");
            (await response.Content.ReadAsByteArrayAsync()).ShouldBeEmpty();
        }
    }

    [Fact]
    public async Task An_interrupted_download_can_be_resumed()
    {
        var content = await registry.Internal.GetByteArrayAsync(ByVersion);
        using var request = new HttpRequestMessage(HttpMethod.Get, ByVersion);
        request.Headers.Range = new RangeHeaderValue(1_000, null);

        using var response = await registry.Internal.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.PartialContent);
        (await response.Content.ReadAsByteArrayAsync()).ShouldBe(content[1_000..]);
    }

    [Theory]
    [InlineData("/templates/aurora/versions/9.9.9/bundle", HttpStatusCode.NotFound)]
    [InlineData("/bundles/sha256:0000000000000000000000000000000000000000000000000000000000000000", HttpStatusCode.NotFound)]
    [InlineData("/bundles/sha256:00", HttpStatusCode.BadRequest)]
    [InlineData("/bundles/md5:0000000000000000000000000000000000000000000000000000000000000000", HttpStatusCode.BadRequest)]
    [InlineData("/bundles/sha256:ABCD000000000000000000000000000000000000000000000000000000000000", HttpStatusCode.BadRequest)]
    public async Task An_unknown_bundle_is_a_problem_that_is_not_cacheable(string address, HttpStatusCode status)
    {
        using var response = await registry.Internal.GetAsync(address);

        response.StatusCode.ShouldBe(status);
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        response.Headers.CacheControl?.ToString().ShouldNotContain("immutable");
    }

    private static string DigestOf(byte[] content) => $"sha256:{Convert.ToHexStringLower(SHA256.HashData(content))}";
}
