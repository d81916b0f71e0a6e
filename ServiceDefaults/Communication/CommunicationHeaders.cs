namespace Platform.ServiceDefaults.Communication;

/// <summary>The platform's own headers on calls between services.</summary>
public static class CommunicationHeaders
{
    /// <summary>How long the caller will wait, in whole milliseconds. Honoured only for callers with the internal token.</summary>
    public const string RequestTimeout = "X-Request-Timeout-Ms";

    /// <summary>The attempt's number, from 1.</summary>
    public const string RequestAttempt = "X-Request-Attempt";

    /// <summary><c>false</c> on an error that a dependency of the called service caused: that call was already retried.</summary>
    public const string ShouldRetry = "X-Should-Retry";

    internal static bool SaysNoRetry(HttpResponseMessage response) =>
        response.Headers.NonValidated.TryGetValues(ShouldRetry, out var values) && string.Equals(values.ToString(), "false", StringComparison.OrdinalIgnoreCase);
}
