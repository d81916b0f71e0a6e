using System.Diagnostics.CodeAnalysis;
using System.Net;
using Polly;
using Polly.Timeout;

namespace Microsoft.Extensions.Http.Resilience;

/// <summary>Which outcomes of a request are worth another try.</summary>
public static class HttpClientResiliencePredicates
{
    /// <summary>Tells whether the outcome is an <see cref="HttpRequestException"/>, a <see cref="TimeoutRejectedException"/>, a 5xx, a 408 or a 429.</summary>
    public static bool IsTransient(Outcome<HttpResponseMessage> outcome) => outcome switch
    {
        { Result: { } response } => response.StatusCode is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests or >= HttpStatusCode.InternalServerError,
        { Exception: HttpRequestException or TimeoutRejectedException } => true,
        _ => false,
    };

    /// <summary>The same, and also a connection time-out of the handler, which shows as a cancellation that nobody asked for.</summary>
    [Experimental("EXTEXP0001", UrlFormat = "https://aka.ms/dotnet-extensions-warnings/{0}")]
    public static bool IsTransient(Outcome<HttpResponseMessage> outcome, CancellationToken cancellationToken) =>
        IsTransient(outcome) || (outcome.Exception is OperationCanceledException { Source: "System.Private.CoreLib", InnerException: TimeoutException }
            && !cancellationToken.IsCancellationRequested);
}
