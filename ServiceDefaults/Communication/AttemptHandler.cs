using System.Globalization;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Security;
using Polly;

namespace Platform.ServiceDefaults.Communication;

/// <summary>Gives each send its headers: the internal token, the correlation id, its number and the time the receiver has.</summary>
internal sealed class AttemptHandler(InternalTokens tokens) : DelegatingHandler
{
    /// <summary>What an answer needs on its way back: the receiver stops this much before its caller does.</summary>
    private static readonly TimeSpan WayBack = TimeSpan.FromMilliseconds(50);

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (request.GetResilienceContext()?.Properties.GetValue(ServiceCall.Key, null!) is { } call)
        {
            call.WasSent = true;
            var left = call.AttemptTimeout - WayBack;
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
