using System.Collections.Concurrent;
using Platform.ServiceDefaults.Communication;

namespace Platform.Backend.Status;

/// <summary>One service that Backend talks to.</summary>
/// <param name="State"><c>connected</c> or <c>disconnected</c>: whether it said just now that it is ready.</param>
/// <param name="LastChange">When the state was first seen to be this one, UTC.</param>
/// <param name="LastError">Why it was last taken for disconnected.</param>
/// <param name="LastErrorAt">When that was, UTC.</param>
internal sealed record ServiceState(string State, DateTimeOffset LastChange, string? LastError = null, DateTimeOffset? LastErrorAt = null);

/// <summary>Asks other services whether they are ready, and remembers what they said.</summary>
internal sealed class ServiceProbes(IHttpClientFactory clients, TimeProvider time)
{
    private static readonly string[] Services = ["template-registry", Deployments.StoreDeployer.Name];
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, ServiceState> _states = new(StringComparer.Ordinal);

    /// <summary>Registers the probes.</summary>
    public static void Add(IHostApplicationBuilder builder)
    {
        builder.Services.AddSingleton<ServiceProbes>();
        foreach (var service in Services)
            builder.AddServiceClient(ClientName(service), service);
    }

    /// <summary>Asks all of them at once; takes a second at most.</summary>
    public async Task<IReadOnlyDictionary<string, ServiceState>> AskAllAsync(CancellationToken cancellationToken)
    {
        var states = await Task.WhenAll(Services.Select(service => AskAsync(service, cancellationToken)));
        return Services.Zip(states).ToDictionary(pair => pair.First, pair => pair.Second, StringComparer.Ordinal);
    }

    private async Task<ServiceState> AskAsync(string service, CancellationToken cancellationToken)
    {
        var error = await FindErrorAsync(service, cancellationToken);
        var now = time.GetUtcNow();
        var state = error is null ? "connected" : "disconnected";
        return _states.AddOrUpdate(
            service,
            _ => new(state, now, error, error is null ? null : now),
            (_, known) => new(
                state,
                known.State == state ? known.LastChange : now,
                error ?? known.LastError,
                error is null ? known.LastErrorAt : now));
    }

    private async Task<string?> FindErrorAsync(string service, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(Deadline, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            using var client = clients.CreateClient(ClientName(service));
            using var response = await client.GetAsync(new Uri("ready", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, either.Token);
            return response.IsSuccessStatusCode ? null : $"/ready answered {(int)response.StatusCode}";
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

    private static string ClientName(string service) => $"probe:{service}";
}
