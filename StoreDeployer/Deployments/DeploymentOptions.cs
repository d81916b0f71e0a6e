using System.ComponentModel.DataAnnotations;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Configuration <c>Deployments</c>.</summary>
internal sealed class DeploymentOptions
{
    public const string Section = "Deployments";

    /// <summary>Deployments that one process runs at a time; 2. With 0 it only serves stores.</summary>
    [Range(0, 64)]
    public int Workers { get; set; } = 2;

    /// <summary>How long a claim holds without being renewed; 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.5", "00:10:00")]
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How often claims are renewed; 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:05:00")]
    public TimeSpan LeaseRenewal { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often a process looks for workers that are gone; 500 ms.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00")]
    public TimeSpan OrphanCheck { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Longest wait between two looks at the queue when nothing signals; 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00")]
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Times a step may fail by its own fault before its deployment fails; 5. What can't be reached does not count.</summary>
    [Range(1, 100)]
    public int MaxFailures { get; set; } = 5;

    /// <summary>Workers that a deployment may take down with it before it fails; 20.</summary>
    [Range(1, 1000)]
    public int MaxLostLeases { get; set; } = 20;

    /// <summary>Longest wait before the next try, in both kinds of back-off; 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")]
    public TimeSpan MaxBackOff { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Least time between two progress messages of a deployment; 100 ms. One that is over sooner sends only how it ended.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:01:00")]
    public TimeSpan ProgressInterval { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Time that running deployments get to finish when the process is told to stop, before their leases are given back; 2.5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00")]
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(2.5);
}
