using System.Net.Sockets;
using System.Text.RegularExpressions;
using Platform.Drill.Systems;

namespace Platform.Drill.Running;

/// <summary>Reads the stores of one deployer all the time, pages and what belongs to them, and writes down what it saw.</summary>
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
                    await LookAsync(shop.Slug, round, cancellationToken);
                    await Task.Delay(Pause, cancellationToken);
                }

                await Task.Delay(Pause, cancellationToken);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // seen enough
        }
    }

    /// <summary>Looks at a store once: its first page, then that page's style sheet, or a product's page.</summary>
    public async Task<Look> LookAsync(string slug, int round, CancellationToken cancellationToken)
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

    private async Task<(Look Look, string Text)> GetAsync(string slug, string path, string? of, CancellationToken cancellationToken)
    {
        var start = DateTimeOffset.UtcNow;
        Look look;
        var text = "";
        try
        {
            using var response = await _http.GetAsync(new Uri($"http://127.0.0.1:{deployer.Port}/stores/{slug}/{path}"), cancellationToken);
            text = await response.Content.ReadAsStringAsync(cancellationToken);
            look = new(deployer.Index, slug, start, DateTimeOffset.UtcNow, path, (int)response.StatusCode,
                ShopName().Match(text) is { Success: true } shop ? shop.Groups["name"].Value : null,
                VersionOfPage().Match(text) is { Success: true } version ? version.Groups["version"].Value : null, of);
        }
        catch (Exception exception) when (exception is HttpRequestException or SocketException or IOException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
        {
            look = new(deployer.Index, slug, start, DateTimeOffset.UtcNow, path, null, exception.Message, null, of);
        }

        history.Looks.Enqueue(look);
        return (look, text);
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
