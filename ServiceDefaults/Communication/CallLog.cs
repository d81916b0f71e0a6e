using System.Security.Claims;

namespace Platform.ServiceDefaults.Communication;

/// <summary>One call that was not a plain success, with the decisions taken on the way.</summary>
/// <param name="At">When it started, UTC.</param>
/// <param name="Destination">The service that was called.</param>
/// <param name="Request">Method and path, without the query.</param>
/// <param name="Outcome">How it ended: a status code, or what went wrong.</param>
/// <param name="DurationMs">Milliseconds until the response headers, or the failure.</param>
/// <param name="Decisions">What was decided, in order.</param>
/// <param name="TraceId">The trace it belongs to, if there was one.</param>
/// <param name="CorrelationId">The correlation id it was made for.</param>
/// <param name="Caller">The authenticated caller whose request it was made for (the claim <see cref="ClaimTypes.NameIdentifier"/>); absent when it was made for nobody's request.</param>
public sealed record LoggedCall(
    DateTimeOffset At,
    string Destination,
    string Request,
    string Outcome,
    double DurationMs,
    IReadOnlyList<string> Decisions,
    string? TraceId,
    string? CorrelationId,
    string? Caller);

/// <summary>The last hundred calls of this process that were not plain successes, newest first.</summary>
/// <param name="requests">Tells on whose behalf a call is made; null in a service that doesn't know its callers.</param>
public sealed class CallLog(IHttpContextAccessor? requests = null)
{
    private const int Capacity = 100;

    private readonly Lock _gate = new();
    private readonly Queue<LoggedCall> _calls = new(Capacity);

    /// <summary>A copy of the log.</summary>
    public IReadOnlyList<LoggedCall> Recent
    {
        get
        {
            lock (_gate)
            {
                return [.. _calls.Reverse()];
            }
        }
    }

    /// <summary>The caller of the current request.</summary>
    internal ClaimsPrincipal? CurrentUser => requests?.HttpContext?.User;

    internal void Add(LoggedCall call)
    {
        lock (_gate)
        {
            if (_calls.Count == Capacity)
            {
                _calls.Dequeue();
            }

            _calls.Enqueue(call);
        }
    }
}
