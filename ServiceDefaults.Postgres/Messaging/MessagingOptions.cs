using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Configuration <c>Messaging</c>.</summary>
public sealed class MessagingOptions
{
    /// <summary>Keys of one destination that this process sends in parallel. 8.</summary>
    [Range(1, 100)]
    public int Parallelism { get; set; } = 8;

    /// <summary>Messages of one key sent before other keys get their turn. 50.</summary>
    [Range(1, 1000)]
    public int BatchSize { get; set; } = 50;

    /// <summary>Time limit of one delivery; at most half of <see cref="Lease"/>. 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "00:00:10", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan SendTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a key belongs to the process that claimed it, by the database's clock since its last progress. 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>Interval of polling, for lost signals. 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.050", "00:01:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest back-off between attempts. 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxBackoff { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Handler failures after which a message is refused as poison. 20.</summary>
    [Range(1, 1000)]
    public int MaxHandlerFailures { get; set; } = 20;

    /// <summary>How long ids of applied messages are kept. 7 days; the last sequence per key, which also detects duplicates, is kept for ever.</summary>
    [Range(typeof(TimeSpan), "01:00:00", "365.00:00:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan InboxRetention { get; set; } = TimeSpan.FromDays(7);
}
