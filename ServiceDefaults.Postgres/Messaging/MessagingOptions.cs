using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Configuration <c>Messaging</c>.</summary>
public sealed class MessagingOptions
{
    /// <summary>How many keys of one destination are sent at once by this process. 8.</summary>
    [Range(1, 100)]
    public int Parallelism { get; set; } = 8;

    /// <summary>Most messages of one key that are sent before others get their turn. 50.</summary>
    [Range(1, 1000)]
    public int BatchSize { get; set; } = 50;

    /// <summary>How long one delivery may take; well under <see cref="Lease"/>. 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "00:00:10", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan SendTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a key belongs to the process that claimed it, counted by the database from its last sign of progress. 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How often to look without having been woken. 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "00:01:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest wait between two attempts to reach a destination. 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxBackoff { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>After how many failures of its handler a message is refused as poison. 20.</summary>
    [Range(1, 1000)]
    public int MaxHandlerFailures { get; set; } = 20;

    /// <summary>How long ids of taken messages are remembered. 7 days; the order guard remembers the last sequence for ever.</summary>
    [Range(typeof(TimeSpan), "01:00:00", "365.00:00:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan InboxRetention { get; set; } = TimeSpan.FromDays(7);
}
