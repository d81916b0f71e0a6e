using Microsoft.Extensions.Diagnostics.HealthChecks;
using Platform.ServiceDefaults.Communication;

namespace Platform.ServiceDefaults.Health;

/// <summary>Registers dependencies with ASP.NET Core's health checks. <c>/health</c> reports every registered health check, also those of other packages.</summary>
public static class DependencyCheckExtensions
{
    /// <summary>
    /// Adds a dependency to <c>/health</c>. False, an exception or no answer within a second all mean disconnected:
    /// <c>unhealthy</c> when <paramref name="required"/>, else <c>degraded</c>.
    /// </summary>
    public static IServiceCollection AddDependencyCheck(
        this IServiceCollection services, string name, Func<IServiceProvider, CancellationToken, Task<bool>> check, bool required) =>
        services.AddHealthChecks().Add(new(
            name, provider => new DependencyCheck(provider, check), required ? HealthStatus.Unhealthy : HealthStatus.Degraded, tags: null)).Services;
}

/// <summary>Limits the time of a check itself: the framework's time-out only cancels a token, and a check that ignores it would block the whole report.</summary>
internal sealed class DependencyCheck(IServiceProvider services, Func<IServiceProvider, CancellationToken, Task<bool>> check) : IHealthCheck
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(1);

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var time = services.GetRequiredService<TimeProvider>();
        using var timeout = new CancellationTokenSource(Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            return await check(services, either.Token).WaitAsync(either.Token) ? HealthCheckResult.Healthy() : new(context.Registration.FailureStatus);
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            return new(context.Registration.FailureStatus, exception.Message);
        }
    }
}

/// <summary>Makes <c>/health</c>'s report: the health checks, and what they don't know of, breakers and readiness gates.</summary>
internal sealed class HealthReports(HealthCheckService checks, CommunicationStatus communication, Readiness readiness, TimeProvider time)
{
    public async Task<HealthReport> CreateAsync(CancellationToken cancellationToken)
    {
        var report = await checks.CheckHealthAsync(cancellationToken);
        var breakers = communication.Services.ToDictionary(service => service.Key, service => service.Value.CircuitBreaker, StringComparer.Ordinal);
        var status = !readiness.GatesAreOpen || report.Status == HealthStatus.Unhealthy ? "unhealthy"
            // Half-open is no worse than connected: without traffic, no trial call comes to close the breaker.
            : report.Status == HealthStatus.Degraded || breakers.Values.Any(breaker => breaker.State == "open") ? "degraded"
            : "healthy";
        var dependencies = report.Entries.ToDictionary(entry => entry.Key, entry => entry.Value.Status == HealthStatus.Healthy ? "connected" : "disconnected", StringComparer.Ordinal);
        return new(status, time.GetUtcNow(), new SortedDictionary<string, string>(dependencies, StringComparer.Ordinal), breakers);
    }
}
