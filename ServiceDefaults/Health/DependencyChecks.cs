using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Health;

/// <summary>Asks one dependency whether it answers.</summary>
internal sealed record DependencyCheck(string Name, Func<IServiceProvider, CancellationToken, Task<bool>> Check, bool Required);

/// <summary>Registers what <c>/health</c> asks.</summary>
public static class DependencyCheckExtensions
{
    /// <summary>
    /// Adds a dependency to <c>/health</c>. False, an exception or no answer within a second all mean disconnected:
    /// <c>unhealthy</c> when <paramref name="required"/>, else <c>degraded</c>.
    /// </summary>
    public static IServiceCollection AddDependencyCheck(
        this IServiceCollection services, string name, Func<IServiceProvider, CancellationToken, Task<bool>> check, bool required) =>
        services.AddSingleton(new DependencyCheck(name, check, required));
}

internal sealed partial class DependencyChecks(
    IEnumerable<DependencyCheck> checks, CommunicationStatus communication, IServiceProvider services, Readiness readiness, TimeProvider time, ILogger<DependencyChecks> logger)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(1);
    private readonly DependencyCheck[] _checks = [.. checks];

    public async Task<HealthReport> ReportAsync(CancellationToken cancellationToken)
    {
        var connected = await Task.WhenAll(_checks.Select(check => IsConnectedAsync(check, cancellationToken)));
        var status = "healthy";
        var dependencies = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; i < _checks.Length; i++)
        {
            dependencies[_checks[i].Name] = connected[i] ? "connected" : "disconnected";
            if (!connected[i])
            {
                status = _checks[i].Required || status == "unhealthy" ? "unhealthy" : "degraded";
            }
        }

        var breakers = communication.Services.ToDictionary(service => service.Key, service => service.Value.CircuitBreaker, StringComparer.Ordinal);
        // half-open is not worse than connected: where nobody calls, no trial comes to close the breaker
        if (status == "healthy" && breakers.Values.Any(breaker => breaker.State == "open"))
        {
            status = "degraded";
        }

        if (!readiness.GatesAreOpen)
        {
            status = "unhealthy";
        }

        return new(status, time.GetUtcNow(), dependencies, breakers);
    }

    private async Task<bool> IsConnectedAsync(DependencyCheck check, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(Deadline);
        try
        {
            await using var scope = services.CreateAsyncScope();
            return await check.Check(scope.ServiceProvider, deadline.Token).WaitAsync(deadline.Token);
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            LogDisconnected(logger, check.Name, exception.Message);
            return false;
        }
    }

    [LoggerMessage(LogLevel.Debug, "Dependency {Dependency} does not answer: {Reason}")]
    private static partial void LogDisconnected(ILogger logger, string dependency, string reason);
}
