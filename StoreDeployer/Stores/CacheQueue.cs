using System.Threading.Channels;

namespace Platform.StoreDeployer.Stores;

/// <summary>A change of a store that this process has learned of.</summary>
internal readonly record struct StoreChange(string Slug, DateTimeOffset ChangedAt);

/// <summary>Stores to be cached on disk: those that were read for the first time, and those that changed but nobody requests from this process.</summary>
internal sealed class CacheQueue
{
    // What doesn't fit is cached when the background next fills the disk.
    private readonly Channel<StoreChange> _stores = Channel.CreateBounded<StoreChange>(new BoundedChannelOptions(10_000) { FullMode = BoundedChannelFullMode.DropWrite });

    public void Add(StoreChange store) => _stores.Writer.TryWrite(store);

    public IAsyncEnumerable<StoreChange> ReadAllAsync(CancellationToken cancellationToken) => _stores.Reader.ReadAllAsync(cancellationToken);
}
