using Microsoft.Extensions.Caching.Memory;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Deployments;

/// <summary>
/// Templates by the digest of their bundle: the last 32 compiled ones in memory, bundles on disk. A bundle never changes, so what is here needs no look
/// at the registry.
/// </summary>
internal sealed class TemplateCache(TemplateRegistryClient registry, DigestCache disk) : IDisposable
{
    private const string Prefix = "sha256:";

    private readonly MemoryCache _templates = new(new MemoryCacheOptions { SizeLimit = 32 });

    /// <summary>Gets the bundle; compiling it is left to the first who renders with it.</summary>
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
            // Not for good: it may have been garbled on the way.
            if (FileDigest.Of(bundle) != expected)
                throw new InvalidDataException($"The bundle that the template registry gave for {digest} has another digest.");
            await disk.WriteAsync(expected, bundle, cancellationToken);
        }

        // Two that fetch the same at the same time both compile it; the result is the same.
        return _templates.Set(digest, new Lazy<StoreTemplate>(() => new(TemplateBundle.Open(bundle), new RenderLimits())), new MemoryCacheEntryOptions { Size = 1 });
    }

    public void Dispose() => _templates.Dispose();
}
