namespace Platform.ServiceDefaults.Communication;

/// <summary>Asks a service whether it is ready, past its breaker and without retries.</summary>
internal sealed class ReadinessProbe(IHttpClientFactory clients, TimeProvider time)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    internal static string ClientName(string service) => $"probe:{service}";

    /// <summary>Why the service is not ready, for people; null when it is. Takes a second at most.</summary>
    public async Task<string?> FindErrorAsync(string service, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            using var client = clients.CreateClient(ClientName(service));
            using var response = await client.GetAsync(new Uri("ready", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, either.Token);
            // a service that has no /ready is there when it says so
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
