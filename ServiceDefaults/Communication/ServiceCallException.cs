namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// A call to another service got no response, after any retries. If it fails a request, that is answered with 503 (504 at the request's own deadline), <c>Retry-After</c> and
/// <c>X-Should-Retry: false</c>.
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

    /// <summary>When to try again: 1 s when this process was too busy, else 5 s.</summary>
    public TimeSpan RetryAfter => TimeSpan.FromSeconds(Failure is ServiceCallFailure.Busy ? 1 : 5);

    /// <summary>Why there is no response.</summary>
    public ServiceCallFailure Failure { get; }
}

/// <summary>Why a call got no response.</summary>
public enum ServiceCallFailure
{
    /// <summary>No connection, or it was lost.</summary>
    Unreachable,

    /// <summary>The call exceeded its time limit.</summary>
    TimedOut,

    /// <summary>The destination's concurrency limit and queue were exhausted.</summary>
    Busy,
}
