using System.Net;

namespace Platform.AppHost.Tests;

[Collection(nameof(RunningPlatform))]
public sealed class PersistenceTests(RunningPlatform platform)
{
    [Fact]
    public async Task Shops_and_stores_are_there_again_after_a_restart_of_everything()
    {
        var slug = PlatformClient.NewSlug();
        var shop = await platform.Client.CreateShopAsync(PlatformClient.Shop(slug, "Here to Stay"));
        await platform.Client.LiveAsync(await platform.Client.DeployAsync(shop));

        await platform.RestartAsync();

        (await platform.Client.Backend.GetAsync($"/api/shops/{shop}", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await platform.Client.Stores.GetStringAsync($"/stores/{slug}/", Cancel)).ShouldContain("Here to Stay");
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
