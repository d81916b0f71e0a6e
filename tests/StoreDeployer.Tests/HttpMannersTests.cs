using Platform.TestSupport;

namespace Platform.StoreDeployer.Tests;

public sealed class HttpMannersTests(TestDatabase database) : IClassFixture<TestDatabase>
{
    [Fact]
    public async Task Every_endpoint_answers_HEAD_OPTIONS_and_compressed_bodies_as_HTTP_asks()
    {
        await using var neighbours = await Neighbours.StartAsync();
        await using var deployer = new DeployerHost(database.ConnectionString, neighbours);
        await deployer.ReadyAsync();
        (await HttpManners.FindViolationsAsync(deployer.Services, deployer.Http, new Dictionary<string, string>
        {
            ["id"] = Guid.NewGuid().ToString(),
            ["slug"] = "no-such-store",
            ["path"] = "",
            ["documentName"] = "v1",
        }, new Dictionary<string, string> { ["X-Internal-Token"] = DeployerClient.Token })).ShouldBeEmpty();
    }
}
