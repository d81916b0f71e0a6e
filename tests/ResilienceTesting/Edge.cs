using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Logging;

namespace Platform.ResilienceTesting;

/// <summary>
/// The way from one resource of an application to another, with a proxy on each endpoint that is used. What goes wrong on it
/// concerns this consumer only: others, and the test itself, reach the target as before.
/// </summary>
public sealed class Edge : FaultInjector
{
    private readonly ILogger _logger;

    internal Edge(IResource consumer, IResource target, int seed, TimeProvider time, ILogger logger)
        : base(seed, time) => (Consumer, Target, _logger) = (consumer, target, logger);

    /// <summary>Who connects.</summary>
    public IResource Consumer { get; }

    /// <summary>Whose endpoints are connected to; for a database, its server.</summary>
    public IResource Target { get; }

    /// <summary>As in <c>backend → postgres</c>.</summary>
    public string Name => $"{Consumer.Name} → {Target.Name}";

    /// <inheritdoc />
    public override string Description => $"{Name}: {base.Description}";

#pragma warning disable CA1848 // a line per fault of a test
    private protected override void OnStarted(Fault fault) => _logger.LogInformation("Fault on {Edge} begins: {Fault}; seed {Seed}", Name, fault, Seed);

    private protected override void OnEnded(Fault fault) => _logger.LogInformation("Fault on {Edge} ends: {Fault}", Name, fault);
#pragma warning restore CA1848
}
