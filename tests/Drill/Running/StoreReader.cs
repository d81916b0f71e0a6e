using System.Net.Sockets;
using System.Text.RegularExpressions;
using Platform.Drill.Systems;

namespace Platform.Drill.Running;

/// <summary>Continuously reads pages and assets of the stores from one deployer, and records the results.</summary>
internal sealed partial class StoreReader(DrilledService deployer, IReadOnlyList<ShopClientState> shops, History history) : IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(30);

    private readonly HttpClient _http = new(new SocketsHttpHandler { AllowAutoRedirect = false }) { Timeout = TimeSpan.FromSeconds(8) };

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            for (var round = 0; ; round++)
            {
                foreach (var shop in shops.Where(shop => shop.Current is not null))
                {
                    await ReadAsync(shop.Slug, round, cancellationToken);
                    await Task.Delay(Pause, cancellationToken);
                }

                await Task.Delay(Pause, cancellationToken);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The schedule has ended.
        }
    }

    /// <summary>Reads a store's first page, and then its style sheet or a product's page.</summary>
    public async Task<StoreRead> ReadAsync(string slug, int round, CancellationToken cancellationToken)
    {
        var (page, html) = await GetAsync(slug, "", null, cancellationToken);
        if (page.Status != 200)
            return page;
        if (round % 4 == 3 && ProductAddress().Match(html) is { Success: true } product)
            await GetAsync(slug, Within(slug, product.Groups["address"].Value), null, cancellationToken);
        else if (StyleAddress().Match(html) is { Success: true } style)
            await GetAsync(slug, Within(slug, style.Groups["address"].Value), page.Version ?? "none", cancellationToken);
        return page;
    }

    public void Dispose() => _http.Dispose();

    private static string Within(string slug, string address) =>
        address.StartsWith($"/stores/{slug}/", StringComparison.Ordinal) ? address[$"/stores/{slug}/".Length..] : address;

    private async Task<(StoreRead StoreRead, string Text)> GetAsync(string slug, string path, string? of, CancellationToken cancellationToken)
    {
        var start = DateTimeOffset.UtcNow;
        StoreRead read;
        var text = "";
        try
        {
            using var response = await _http.GetAsync(new Uri($"http://127.0.0.1:{deployer.Port}/stores/{slug}/{path}"), cancellationToken);
            text = await response.Content.ReadAsStringAsync(cancellationToken);
            read = new(deployer.Index, slug, start, DateTimeOffset.UtcNow, path, (int)response.StatusCode,
                ShopName().Match(text) is { Success: true } shop ? shop.Groups["name"].Value : null,
                VersionOfPage().Match(text) is { Success: true } version ? version.Groups["version"].Value : null, of);
        }
        catch (Exception exception) when (exception is HttpRequestException or SocketException or IOException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
        {
            read = new(deployer.Index, slug, start, DateTimeOffset.UtcNow, path, null, exception.Message, null, of);
        }

        history.StoreReads.Enqueue(read);
        return (read, text);
    }

    [GeneratedRegex("<meta name=\"drill-shop\" content=\"(?<name>[^\"]*)\"", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ShopName();

    [GeneratedRegex("drill-version(\" content=\"| )(?<version>[0-9.]+)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex VersionOfPage();

    [GeneratedRegex("rel=\"stylesheet\" href=\"(?<address>[^\"]*)\"", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex StyleAddress();

    [GeneratedRegex("class=\"product\" href=\"(?<address>[^\"]*)\"", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ProductAddress();
}
