using System.Globalization;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Security;
using Polly;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Sets the headers of each attempt: internal token, correlation id, attempt number and the time that the receiver has.</summary>
internal sealed class AttemptHandler(InternalTokens tokens) : DelegatingHandler
{
    /// <summary>Time for the response to travel back: the receiver stops this much earlier than its caller.</summary>
    private static readonly TimeSpan ReturnTrip = TimeSpan.FromMilliseconds(50);

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (request.GetResilienceContext()?.Properties.GetValue(ServiceCall.Key, null!) is { } call)
        {
            call.WasSent = true;
            var left = call.AttemptTimeout - ReturnTrip;
            Set(request, CommunicationHeaders.RequestAttempt, call.Attempt.ToString(CultureInfo.InvariantCulture));
            Set(request, CommunicationHeaders.RequestTimeout, ((long)Math.Max(1, left.TotalMilliseconds)).ToString(CultureInfo.InvariantCulture));
        }

        Set(request, CorrelationContext.HeaderName, CorrelationContext.Current);
        Set(request, InternalTokens.HeaderName, tokens.Current);
        return base.SendAsync(request, cancellationToken);
    }

    private static void Set(HttpRequestMessage request, string name, string? value)
    {
        request.Headers.Remove(name);
        if (value is not null)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }
    }
}
