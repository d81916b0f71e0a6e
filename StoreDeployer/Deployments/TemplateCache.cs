using Microsoft.Extensions.Caching.Memory;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Deployments;

/// <summary>
/// Templates by the digest of their bundle: 32 compiled ones in memory, the bundles on disk. A bundle never changes, so the registry is asked only for those that
/// are not cached.
/// </summary>
internal sealed class TemplateCache(TemplateRegistryClient registry, DigestCache disk) : IDisposable
{
    private const string Prefix = "sha256:";

    private readonly MemoryCache _templates = new(new MemoryCacheOptions { SizeLimit = 32 });

    /// <summary>Fetches the bundle. It is compiled lazily, by the first render.</summary>
    /// <exception cref="PermanentFailureException">The registry doesn't have it.</exception>
    public async Task<Lazy<StoreTemplate>> FetchAsync(string digest, CancellationToken cancellationToken)
    {
        if (!digest.StartsWith(Prefix, StringComparison.Ordinal) || !FileDigest.TryParse(digest[Prefix.Length..], out var expected))
            throw new PermanentFailureException("template-not-found", $"'{digest}' is not the digest of a template bundle.");
        if (_templates.TryGetValue(digest, out Lazy<StoreTemplate>? template))
            return template!;

        var bundle = await disk.ReadAsync(expected, cancellationToken);
        if (bundle is null)
        {
            bundle = await registry.GetBundleAsync(digest, cancellationToken);
            // Not a permanent failure: the bundle may have been corrupted in transit.
            if (FileDigest.Of(bundle) != expected)
                throw new InvalidDataException($"The template registry's bundle for {digest} has a different digest.");
            await disk.WriteAsync(expected, bundle, cancellationToken);
        }

        // Concurrent fetches may compile the same template twice, which is harmless.
        return _templates.Set(digest, new Lazy<StoreTemplate>(() => new(TemplateBundle.Open(bundle), new RenderLimits())), new MemoryCacheEntryOptions { Size = 1 });
    }

    public void Dispose() => _templates.Dispose();
}
