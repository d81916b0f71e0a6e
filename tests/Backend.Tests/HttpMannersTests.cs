using Platform.TestSupport;

namespace Platform.Backend.Tests;

public sealed class HttpMannersTests(BackendHost backend) : IClassFixture<BackendHost>
{
    [Fact]
    public async Task Every_endpoint_answers_HEAD_OPTIONS_and_compressed_bodies_as_HTTP_asks()
    {
        using var client = backend.Connect(BackendHost.AdminKey);
        client.DefaultRequestHeaders.Add("X-Internal-Token", BackendHost.Token);
        // The console answers forms of other sites with 403.
        client.DefaultRequestHeaders.Add("Origin", client.BaseAddress!.GetLeftPart(UriPartial.Authority));
        (await HttpManners.FindViolationsAsync(backend.Services, client, new Dictionary<string, string>
        {
            ["id"] = Guid.NewGuid().ToString(),
            ["deploymentId"] = Guid.NewGuid().ToString(),
            ["service"] = "backend",
            ["name"] = "aurora",
            ["version"] = "1.0.0",
            ["file"] = "console.css",
            ["documentName"] = "v1",
        })).ShouldBeEmpty();
    }
}
