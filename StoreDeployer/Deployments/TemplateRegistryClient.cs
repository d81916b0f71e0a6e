using System.Net;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Downloads bundles from TemplateRegistry.</summary>
internal sealed class TemplateRegistryClient(HttpClient http)
{
    public const string ServiceName = "template-registry";

    // Above the largest bundle that the registry accepts.
    private const int MaxSize = 16 * 1024 * 1024;

    /// <summary>The bundle with this digest (<c>sha256:…</c>). The digest is not verified here.</summary>
    /// <exception cref="PermanentFailureException">The registry has no such bundle.</exception>
    /// <exception cref="MustWaitException">The registry answered with an error and Retry-After.</exception>
    public async Task<byte[]> GetBundleAsync(string digest, CancellationToken cancellationToken)
    {
        using var response = await http.GetAsync(new Uri($"bundles/{digest}", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (response.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Gone)
            throw new PermanentFailureException("template-not-found", $"The template registry has no bundle {digest}.");
        if (!response.IsSuccessStatusCode && response.Headers.RetryAfter?.Delta is { } retryAfter)
            throw new MustWaitException("dependency-unavailable", $"The template registry answered {(int)response.StatusCode}.", retryAfter);
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
