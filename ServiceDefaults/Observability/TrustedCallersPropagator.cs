using System.Diagnostics;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Observability;

/// <summary>
/// Continues the trace of a caller that shows the internal token. For any other caller the server's span starts a new trace, because a stranger's <c>traceparent</c> could
/// merge unrelated requests into one trace and force sampling; <see cref="CallerTraceMiddleware"/> decides later what to do with it.
/// </summary>
internal sealed class TrustedCallersPropagator(InternalTokens tokens) : DistributedContextPropagator
{
    private readonly DistributedContextPropagator _w3c = CreateW3CPropagator();

    public override IReadOnlyCollection<string> Fields => _w3c.Fields;

    public override void Inject(Activity? activity, object? carrier, PropagatorSetterCallback? setter) => _w3c.Inject(activity, carrier, setter);

    public override void ExtractTraceIdAndState(object? carrier, PropagatorGetterCallback? getter, out string? traceId, out string? traceState)
    {
        (traceId, traceState) = (null, null);
        if (IsTrusted(carrier, getter))
        {
            _w3c.ExtractTraceIdAndState(carrier, getter, out traceId, out traceState);
        }
    }

    public override IEnumerable<KeyValuePair<string, string?>>? ExtractBaggage(object? carrier, PropagatorGetterCallback? getter) =>
        IsTrusted(carrier, getter) ? _w3c.ExtractBaggage(carrier, getter) : null;

    private bool IsTrusted(object? carrier, PropagatorGetterCallback? getter)
    {
        string? token = null;
        getter?.Invoke(carrier, InternalTokens.HeaderName, out token, out _);
        return tokens.Accepts(token);
    }
}
