using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>Configuration <c>Idempotency</c>.</summary>
public sealed class IdempotencyOptions
{
    /// <summary>How long a request keeps its key before another request may take it over. 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Claim { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long responses are stored. 24 h.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Retention { get; set; } = TimeSpan.FromHours(24);

    /// <summary>
    /// The caller whose keys are stored as anonymous. For rolling upgrades from a version without authentication, which stores all keys as anonymous: a request that reaches both
    /// versions is still executed once. None.
    /// </summary>
    public string? FormerlyAnonymous { get; set; }
}
