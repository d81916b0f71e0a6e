using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Configuration <c>Admission</c>: how much is taken at once, and from whom. Read at the start.</summary>
public sealed class AdmissionOptions
{
    private const string Message = "Admission:{0} must be between {1} and {2}.";

    /// <summary>
    /// How many requests per second one client may send for long; over it 429. 1000. A proxy that hides its clients' addresses is one client: raise this behind one
    /// and limit there.
    /// </summary>
    [Range(0.01, 1_000_000, ErrorMessage = Message)]
    public double RatePerSecond { get; set; } = 1000;

    /// <summary>How many requests one client that was quiet for a while may send at once. 2000.</summary>
    [Range(1, 1_000_000, ErrorMessage = Message)]
    public int Burst { get; set; } = 2000;

    /// <summary>How many requests are worked on at once; reads may use 80 % of them, other changes 90 %, deployments all. 200.</summary>
    [Range(1, 100_000, ErrorMessage = Message)]
    public int Concurrency { get; set; } = 200;

    /// <summary>How many requests may wait for a place, together; over it the least important get 503. 100.</summary>
    [Range(0, 100_000, ErrorMessage = Message)]
    public int Queue { get; set; } = 100;

    /// <summary>How long a request may wait for a place, and no longer than its own time-out; then 503. 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:00:30", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true, ErrorMessage = Message)]
    public TimeSpan QueueTimeout { get; set; } = TimeSpan.FromSeconds(1);
}
