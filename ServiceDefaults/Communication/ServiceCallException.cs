namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// A call to a service of the platform came to no answer. Retrying was done already, where it could help; a request that fails of it is answered
/// with 503 (504 when its own time was up), <c>Retry-After</c> and <c>X-Should-Retry: false</c>.
/// </summary>
public sealed class ServiceCallException : HttpRequestException
{
    internal ServiceCallException(string destination, ServiceCallFailure failure, string message, Exception inner)
        : base((inner as HttpRequestException)?.HttpRequestError ?? HttpRequestError.Unknown, message, inner)
    {
        Destination = destination;
        Failure = failure;
    }

    /// <summary>The service that was called.</summary>
    public string Destination { get; }

    /// <summary>When a person may try again: 1 s when this process was too busy, else 5 s.</summary>
    public TimeSpan RetryAfter => TimeSpan.FromSeconds(Failure is ServiceCallFailure.Busy ? 1 : 5);

    /// <summary>Why there is no answer.</summary>
    public ServiceCallFailure Failure { get; }
}

/// <summary>Why a call came to no answer.</summary>
public enum ServiceCallFailure
{
    /// <summary>No connection, or it broke off.</summary>
    Unreachable,

    /// <summary>The time for the call was up.</summary>
    TimedOut,

    /// <summary>All places at the destination and in its queue were taken.</summary>
    Busy,
}
