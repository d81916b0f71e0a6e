using System.Net;

namespace Platform.Backend.Tests.Status;

public sealed class StatusEndpointTests(BackendHost backend) : IClassFixture<BackendHost>
{
    [Theory]
    [InlineData("/api/status/services")]
    [InlineData("/v1/api/status/services")]
    public async Task Services_are_shown_with_what_they_said_just_now(string path)
    {
        var before = await (await backend.Client.GetAsync(path)).ReadAsync(HttpStatusCode.OK);
        ((string)before["services"]!["template-registry"]!["state"]!).ShouldBe("connected");
        ((string)before["services"]!["store-deployer"]!["state"]!).ShouldBe("connected");

        await backend.Deployer.StopAsync();
        try
        {
            var down = await (await backend.Client.GetAsync(path)).ReadAsync(HttpStatusCode.OK);
            ((string)down["services"]!["template-registry"]!["state"]!).ShouldBe("connected");
            var deployer = down["services"]!["store-deployer"]!;
            ((string)deployer["state"]!).ShouldBe("disconnected");
            ((string)deployer["lastError"]!).ShouldNotBeNullOrWhiteSpace();
            deployer["lastChange"]!.GetValue<DateTimeOffset>().ShouldBeGreaterThan(before["services"]!["store-deployer"]!["lastChange"]!.GetValue<DateTimeOffset>());

            var health = await (await backend.Client.GetAsync("/health")).ReadAsync(HttpStatusCode.OK);
            ((string)health["status"]!).ShouldBe("degraded");
            ((string)health["dependencies"]!["store-deployer"]!).ShouldBe("disconnected");
        }
        finally
        {
            await backend.Deployer.StartAgainAsync();
        }

        ((string)(await (await backend.Client.GetAsync(path)).ReadAsync(HttpStatusCode.OK))["services"]!["store-deployer"]!["state"]!).ShouldBe("connected");
    }
}
