using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Health;

/// <summary>Answers 503 while the service starts, and <c>Connection: close</c> while it stops.</summary>
internal sealed class DrainMiddleware(RequestDelegate next, Readiness readiness)
{
    public Task InvokeAsync(HttpContext context)
    {
        if (readiness.IsDraining && HttpProtocol.IsHttp11(context.Request.Protocol))
        {
            context.Response.Headers.Connection = "close";
        }

        if (readiness.GatesAreOpen || context.GetEndpoint() is not { } endpoint || endpoint.Metadata.GetMetadata<AvailableBeforeReadyMetadata>() is not null)
        {
            return next(context);
        }

        return Problem.Unavailable($"The service is starting: waiting for {string.Join(", ", readiness.Waiting)}.", TimeSpan.FromSeconds(1)).ExecuteAsync(context);
    }
}

/// <summary>
/// On SIGTERM <c>/ready</c> fails at once, while the port stays open for <see cref="ShutdownOptions.DrainDelay"/>, so that load balancers stop sending requests first.
/// </summary>
internal sealed class DrainOnStop(Readiness readiness, IOptions<ShutdownOptions> options, TimeProvider time) : IHostedLifecycleService
{
    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        readiness.StartDraining();
        return options.Value.DrainDelay > TimeSpan.Zero
            ? Task.Delay(options.Value.DrainDelay, time, cancellationToken).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default)
            : Task.CompletedTask;
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>Configuration <c>Shutdown</c>.</summary>
public sealed class ShutdownOptions
{
    /// <summary>How long the port stays open after <c>/ready</c> starts to fail. 500 ms; zero in Development.</summary>
    [System.ComponentModel.DataAnnotations.Range(typeof(TimeSpan), "00:00:00", "00:00:02", ConvertValueInInvariantCulture = true, ParseLimitsInInvariantCulture = true)]
    public TimeSpan DrainDelay { get; set; } = TimeSpan.FromMilliseconds(500);
}
