using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Configuration <c>Admission</c>: limits on requests, per client and in total. Read at start.</summary>
public sealed class AdmissionOptions
{
    private const string Message = "Admission:{0} must be between {1} and {2}.";

    /// <summary>
    /// Sustained requests per second of one client; above it 429. 1000. A proxy that hides its clients' addresses counts as one client: raise this behind one
    /// and limit there.
    /// </summary>
    [Range(0.01, 1_000_000, ErrorMessage = Message)]
    public double RatePerSecond { get; set; } = 1000;

    /// <summary>Requests that a client may send at once after being idle. 2000.</summary>
    [Range(1, 1_000_000, ErrorMessage = Message)]
    public int Burst { get; set; } = 2000;

    /// <summary>Requests in flight; reads may use 80 % of them, other writes 90 %, deployments all. 200.</summary>
    [Range(1, 100_000, ErrorMessage = Message)]
    public int Concurrency { get; set; } = 200;

    /// <summary>Requests that may wait for admission; above it those of the lowest priority get 503. 100.</summary>
    [Range(0, 100_000, ErrorMessage = Message)]
    public int Queue { get; set; } = 100;

    /// <summary>Longest wait for admission, capped by the request's own time-out; then 503. 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:00:30", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true, ErrorMessage = Message)]
    public TimeSpan QueueTimeout { get; set; } = TimeSpan.FromSeconds(1);
}
