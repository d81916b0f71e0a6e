using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Logging;

namespace Platform.ResilienceTesting;

/// <summary>
/// The connection from one resource of an application to another, with a proxy for each endpoint used. Its faults affect this consumer only; other consumers and the
/// test itself still reach the target.
/// </summary>
public sealed class Edge : FaultInjector
{
    private readonly ILogger _logger;

    internal Edge(IResource consumer, IResource target, int seed, TimeProvider time, ILogger logger)
        : base(seed, time) => (Consumer, Target, _logger) = (consumer, target, logger);

    /// <summary>The resource that connects.</summary>
    public IResource Consumer { get; }

    /// <summary>The resource that it connects to; for a database, its server.</summary>
    public IResource Target { get; }

    /// <summary>For example <c>backend → postgres</c>.</summary>
    public string Name => $"{Consumer.Name} → {Target.Name}";

    /// <inheritdoc />
    public override string Description => $"{Name}: {base.Description}";

#pragma warning disable CA1848 // only one message per fault of a test, so performance doesn't matter
    private protected override void OnStarted(Fault fault) => _logger.LogInformation("Fault on {Edge} begins: {Fault}; seed {Seed}", Name, fault, Seed);

    private protected override void OnEnded(Fault fault) => _logger.LogInformation("Fault on {Edge} ends: {Fault}", Name, fault);
#pragma warning restore CA1848
}
