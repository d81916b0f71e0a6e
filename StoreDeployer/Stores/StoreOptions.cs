using System.ComponentModel.DataAnnotations;

namespace Platform.StoreDeployer.Stores;

/// <summary>Configuration <c>Stores</c>.</summary>
internal sealed class StoreOptions
{
    public const string Section = "Stores";

    /// <summary>This service's public address, without <c>/stores</c>; <c>http://localhost:9003</c>.</summary>
    [Required]
    public Uri PublicUrl { get; set; } = new("http://localhost:9003");

    /// <summary>The disk cache, from which live stores are served while the database is unavailable; <c>.data/store-cache</c> under the content root. Safe to delete, and may be shared by processes.</summary>
    public string? CacheDirectory { get; set; }

    /// <summary>Largest size of the disk cache in bytes; 1 GiB. The background fills it to 90 %.</summary>
    [Range(1024 * 1024, long.MaxValue)]
    public long CacheSize { get; set; } = 1024 * 1024 * 1024;

    /// <summary>Largest size of the files cached in memory, in bytes; 64 MiB.</summary>
    [Range(1024 * 1024, int.MaxValue)]
    public long MemoryCacheSize { get; set; } = 64 * 1024 * 1024;

    /// <summary>How often changes made by other processes are polled when no signal arrives; 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:10:00")]
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How many stores a second are copied to the disk cache in the background; 50. 0 caches only stores that are requested or changed.</summary>
    [Range(0, 10_000)]
    public int FillRate { get; set; } = 50;

    /// <summary>How many bytes a second are copied to the disk cache in the background; 8 MiB.</summary>
    [Range(64 * 1024, long.MaxValue)]
    public long FillBytesPerSecond { get; set; } = 8 * 1024 * 1024;

    /// <summary>Releases of a shop that are retained for rollbacks, including the active one; 10.</summary>
    [Range(1, 1000)]
    public int RetainedReleases { get; set; } = 10;

    /// <summary>How often other releases and unused files are deleted; 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "1.00:00:00")]
    public TimeSpan CollectInterval { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>The public address of a store.</summary>
    public Uri UrlOf(string slug) => new($"{PublicUrl.AbsoluteUri.TrimEnd('/')}/stores/{slug}/");
}
