namespace Platform.ServiceDefaults.Communication;

/// <summary>Asks a service's <c>/ready</c>, bypassing its breaker and without retries.</summary>
internal sealed class ReadinessProbe(IHttpClientFactory clients, TimeProvider time)
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(1);

    internal static string ClientName(string service) => $"probe:{service}";

    /// <summary>Returns a human-readable reason why the service is not ready, or null when it is. Takes at most a second.</summary>
    public async Task<string?> FindErrorAsync(string service, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            using var client = clients.CreateClient(ClientName(service));
            using var response = await client.GetAsync(new Uri("ready", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, either.Token);
            // A service without /ready that answers 404 is available.
            return (int)response.StatusCode < 500 ? null : $"/ready answered {(int)response.StatusCode}";
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return "/ready did not answer within 1 s";
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            return exception.Message;
        }
    }
}
