namespace Platform.ServiceDefaults.Communication;

/// <summary>One call that was not a plain success, with the decisions taken on its way.</summary>
/// <param name="At">When it began, UTC.</param>
/// <param name="Destination">The service that was called.</param>
/// <param name="Request">Method and path, without the query.</param>
/// <param name="Outcome">How it ended: a status code, or what went wrong.</param>
/// <param name="DurationMs">Milliseconds until the headers of the answer, or its failure.</param>
/// <param name="Decisions">What was decided, in order.</param>
/// <param name="TraceId">The trace it belongs to, if there was one.</param>
/// <param name="CorrelationId">The correlation id it was made for.</param>
public sealed record LoggedCall(
    DateTimeOffset At,
    string Destination,
    string Request,
    string Outcome,
    double DurationMs,
    IReadOnlyList<string> Decisions,
    string? TraceId,
    string? CorrelationId);

/// <summary>The last hundred calls of this process that were not plain successes, newest first.</summary>
public sealed class CallLog
{
    private const int Capacity = 100;

    private readonly Lock _gate = new();
    private readonly Queue<LoggedCall> _calls = new(Capacity);

    /// <summary>A copy of what is kept.</summary>
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
