using System.Net;

namespace Platform.AppHost.Tests;

[Collection(nameof(RunningPlatform))]   // not to run beside it: two whole systems are too much for a small machine
public sealed class PersistenceTests
{
    [Fact]
    public async Task Shops_and_stores_are_there_again_after_a_restart_of_everything()
    {
        using var data = new DataDirectory();
        var slug = PlatformClient.NewSlug();
        string shop;
        await using (var first = await RunningPlatform.StartAsync(data))
        {
            var client = new PlatformClient(first);
            shop = await client.CreateShopAsync(PlatformClient.Shop(slug, "Here to Stay"));
            await client.LiveAsync(await client.DeployAsync(shop));
        }

        await using var second = await RunningPlatform.StartAsync(data);
        var again = new PlatformClient(second);
        (await again.Backend.GetAsync($"/api/shops/{shop}", Cancel)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await again.Stores.GetStringAsync($"/stores/{slug}/", Cancel)).ShouldContain("Here to Stay");
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
