using System.Diagnostics.Metrics;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Metrics of the outbox: messages waiting, age of the oldest, and dead letters.</summary>
internal sealed class BacklogMetrics : PolledMetrics<IReadOnlyList<Backlog>>
{
    private readonly Backlogs _backlogs;

    public BacklogMetrics(Backlogs backlogs, IMeterFactory meters, DatabaseMigrations migrations, TimeProvider time, ILogger<BacklogMetrics> logger)
        : base(migrations, time, logger)
    {
        _backlogs = backlogs;
        var meter = meters.CreateMeter("messaging");
        meter.CreateObservableGauge("platform.messaging.outbox.depth", () => Read(backlog => backlog.Waiting), "{message}", "Messages waiting, by destination.");
        meter.CreateObservableGauge("platform.messaging.outbox.oldest.age", () => Read(backlog => Age(backlog.OldestAt)), "s", "Age of the oldest message waiting, by destination; 0 when there is none.");
        meter.CreateObservableGauge("platform.messaging.dead_letters", () => Read(backlog => backlog.DeadLetters), "{message}", "Messages that their receiver refused permanently, by destination.");

        double Age(DateTimeOffset? oldest) => oldest is { } at ? Math.Max(0, (time.GetUtcNow() - at).TotalSeconds) : 0;
    }

    protected override Task<IReadOnlyList<Backlog>> ReadAsync(CancellationToken cancellationToken) => _backlogs.ListAsync(cancellationToken);

    private IEnumerable<Measurement<TValue>> Read<TValue>(Func<Backlog, TValue> value) where TValue : struct =>
        Latest?.Select(backlog => new Measurement<TValue>(value(backlog), new KeyValuePair<string, object?>("destination", backlog.Destination))) ?? [];
}
