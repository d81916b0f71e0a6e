using Platform.TestSupport;

namespace Platform.TemplateRegistry.Tests;

public sealed class HttpMannersTests(RunningRegistry registry) : IClassFixture<RunningRegistry>
{
    [Fact]
    public async Task Every_endpoint_answers_HEAD_OPTIONS_and_compressed_bodies_as_HTTP_asks() =>
        (await HttpManners.FindViolationsAsync(registry.Endpoints, registry.Internal, new Dictionary<string, string>
        {
            ["name"] = "aurora",
            ["version"] = "1.0.0",
            ["digest"] = $"sha256:{new string('0', 64)}",
            ["documentName"] = "v1",
        })).ShouldBeEmpty();
}
