namespace Platform.ServiceDefaults.Health;

/// <summary>A condition for a service to be ready, such as completed migrations.</summary>
public sealed class ReadinessGate(string name)
{
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What the service waits for, as shown by <c>/ready</c>.</summary>
    public string Name { get; } = name;

    /// <summary>Whether the gate is open.</summary>
    public bool IsReady => _ready.Task.IsCompletedSuccessfully;

    /// <summary>Opens the gate permanently.</summary>
    public void MarkReady() => _ready.TrySetResult();

    /// <summary>Completes when the gate is open.</summary>
    public Task WaitAsync(CancellationToken cancellationToken) => _ready.Task.WaitAsync(cancellationToken);
}

/// <summary>Registers readiness gates.</summary>
public static class ReadinessExtensions
{
    /// <summary>Adds a gate. Until it is opened, <c>/ready</c> and all endpoints not <see cref="AvailableBeforeReady"/> answer 503.</summary>
    public static ReadinessGate AddReadinessGate(this IServiceCollection services, string name)
    {
        var gate = new ReadinessGate(name);
        services.AddSingleton(gate);
        return gate;
    }

    /// <summary>Lets endpoints answer while readiness gates are closed.</summary>
    public static TBuilder AvailableBeforeReady<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new AvailableBeforeReadyMetadata());
}

internal sealed class AvailableBeforeReadyMetadata;

/// <summary>Whether this process should receive requests: it has started, every gate is open, and it is not draining.</summary>
internal sealed class Readiness(IEnumerable<ReadinessGate> gates, IHostApplicationLifetime lifetime)
{
    private readonly ReadinessGate[] _gates = [.. gates];
    private volatile bool _draining;

    public bool IsReady => lifetime.ApplicationStarted.IsCancellationRequested && !IsDraining && GatesAreOpen;

    public bool IsDraining => _draining || lifetime.ApplicationStopping.IsCancellationRequested;

    public bool GatesAreOpen => Array.TrueForAll(_gates, gate => gate.IsReady);

    /// <summary>Names of the gates that are still closed.</summary>
    public IEnumerable<string> Waiting => _gates.Where(gate => !gate.IsReady).Select(gate => gate.Name);

    public void StartDraining() => _draining = true;
}
