using System.Net;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Asks TemplateRegistry for bundles.</summary>
internal sealed class TemplateRegistryClient(HttpClient http)
{
    public const string ServiceName = "template-registry";

    // What the registry takes, and some room.
    private const int MaxSize = 16 * 1024 * 1024;

    /// <summary>The bundle with this digest (<c>sha256:…</c>), as it came.</summary>
    /// <exception cref="PermanentFailureException">The registry has no such bundle.</exception>
    /// <exception cref="MustWaitException">The registry said when to come back.</exception>
    public async Task<byte[]> GetBundleAsync(string digest, CancellationToken cancellationToken)
    {
        using var response = await http.GetAsync(new Uri($"bundles/{digest}", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (response.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Gone)
            throw new PermanentFailureException("template-not-found", $"The template registry has no bundle {digest}.");
        if (!response.IsSuccessStatusCode && response.Headers.RetryAfter?.Delta is { } retryAfter)
            throw new MustWaitException("dependency-unavailable", $"The template registry answers {(int)response.StatusCode}.", retryAfter);
        response.EnsureSuccessStatusCode();

        await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
        using var bundle = new MemoryStream();
        var buffer = new byte[64 * 1024];
        int read;
        while ((read = await body.ReadAsync(buffer, cancellationToken)) > 0)
        {
            if (bundle.Length + read > MaxSize)
                throw new PermanentFailureException("bundle-invalid", $"The bundle {digest} is larger than {MaxSize} bytes.");
            bundle.Write(buffer, 0, read);
        }

        return bundle.ToArray();
    }
}
