using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>Configuration <c>Idempotency</c>.</summary>
public sealed class IdempotencyOptions
{
    /// <summary>How long a request may work on a key before another with the same key may take it over. 15 s.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "00:10:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Claim { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long answers are kept. 24 h.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan Retention { get; set; } = TimeSpan.FromHours(24);

    /// <summary>
    /// The caller whose keys are those of requests without a caller, for a service that has not always asked who calls: a former version that runs beside it claims
    /// all keys without one, and a request that comes to both is still done once. None.
    /// </summary>
    public string? FormerlyAnonymous { get; set; }
}
