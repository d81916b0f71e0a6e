using System.ComponentModel.DataAnnotations;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Configuration <c>Deployments</c>.</summary>
internal sealed class DeploymentOptions
{
    public const string Section = "Deployments";

    /// <summary>Deployments that one process runs concurrently; 2. With 0 it only serves stores.</summary>
    [Range(0, 64)]
    public int Workers { get; set; } = 2;

    /// <summary>How long a claim is valid without being renewed; 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.5", "00:10:00")]
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How often claims are renewed; 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:05:00")]
    public TimeSpan LeaseRenewal { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often a process checks for deployments whose worker has died; 500 ms.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00")]
    public TimeSpan OrphanCheck { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How often the queue is polled when no signal arrives; 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00")]
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How often a step may fail before its deployment fails; 5. Unavailable dependencies don't count.</summary>
    [Range(1, 100)]
    public int MaxFailures { get; set; } = 5;

    /// <summary>How often a deployment may lose its worker before it fails, because it is probably what kills them; 20.</summary>
    [Range(1, 1000)]
    public int MaxLostLeases { get; set; } = 20;

    /// <summary>Longest back-off, after a failed step and while a dependency is unavailable; 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")]
    public TimeSpan MaxBackOff { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Shortest time between two progress messages of a deployment; 100 ms. A deployment that finishes sooner sends only its outcome.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:01:00")]
    public TimeSpan ProgressInterval { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>How long running deployments may continue after the process was told to stop, before they go back into the queue; 2.5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00")]
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(2.5);
}
